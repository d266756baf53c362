package openai

import (
	"net/http"
	"strings"
	"testing"

	"github.com/spoolhq/spool/turn"
	"github.com/spoolhq/spool/turn/agenttest"
)

// TestKit: the agent keeps what every agent promises, with both forms of the API.
func TestKit(t *testing.T) {
	for api, reply := range map[API]func(string) http.HandlerFunc{APIResponses: answer, APIChat: chatAnswer} {
		t.Run(string(api), func(t *testing.T) {
			var s *server
			agenttest.Run(t, func(t testing.TB) turn.Agent {
				s = newServer(t)
				s.always = func(w http.ResponseWriter, r *http.Request, body string) {
					switch {
					case strings.Contains(body, "refuse"):
						status(http.StatusBadRequest, `{"error":{"message":"no"}}`)(w, r)
					case strings.Contains(body, "think"):
						sse(textDelta("msg_1", "Hm"), chunk(`{"content":"Hm"}`, "null"))(w, r)
						<-r.Context().Done()
					default:
						reply("Good day to you")(w, r)
					}
				}
				return s.agent(func(o *Options) { o.API = api })
			}, agenttest.Cases{
				Says: ask("Hello"), Text: "Good day to you", Works: ask("think"), Fails: ask("refuse"), Steers: ask("Hello"),
				Idle: func() { s.http.Client().CloseIdleConnections() },
			})
		})
	}
}

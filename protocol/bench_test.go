package protocol

import "testing"

func BenchmarkEncodeDelta(b *testing.B) {
	d := sampleDelta()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Encode(EventAgentMessageDelta, d); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeDeltaGeneral(b *testing.B) {
	d := sampleDelta()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encode([]string{frameMethod, EventAgentMessageDelta.Name, frameParams}, d, "}"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeTurnStarted(b *testing.B) {
	e := TurnEvent{Header: sampleDelta().Header, Turn: Turn{
		ID: NewID(PrefixTurn), ThreadID: NewID(PrefixThread), Status: TurnRunning, Input: TextInput("Why is the sky blue?"),
		TraceID: NewID(PrefixTrace), Agent: "script", Attempt: 1, CreatedAt: Now(), StartedAt: Now(),
	}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Encode(EventTurnStarted, e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeTurnRun(b *testing.B) {
	raw := []byte(`{"threadId":"thr_01JZ0000000000000000000000","input":[{"type":"text","text":"Why is the sky blue? Say it in one sentence, please."}],"ifBusy":"enqueue","idempotencyKey":"4f0c2c1e-6f0e-4a52-9d0f-1a2b3c4d5e6f","config":{"temperature":0.5}}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		var p TurnRunParams
		if err := Decode(raw, &p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeTurnRunString(b *testing.B) {
	raw := []byte(`{"threadId":"thr_01JZ0000000000000000000000","input":"Why is the sky blue?","ifBusy":"enqueue"}`)
	b.ReportAllocs()
	for b.Loop() {
		var p TurnRunParams
		if err := Decode(raw, &p); err != nil {
			b.Fatal(err)
		}
	}
}

func sampleDelta() DeltaEvent {
	return DeltaEvent{
		Header: Header{ThreadID: NewID(PrefixThread), TurnID: NewID(PrefixTurn), ItemID: NewID(PrefixItem), TraceID: NewID(PrefixTrace), At: Now()},
		Offset: 4711, Delta: "scattering ",
	}
}

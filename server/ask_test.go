package server

import "testing"

// Each answer that nobody wants is late once, whether it comes after the request was taken
// back or in the moment in which that happens.
func TestAnswersThatAreLate(t *testing.T) {
	var a asked
	a.opened("after")
	if !a.takeBack("after") || !a.answered("after") || a.answered("after") {
		t.Error("an answer after its request was taken back")
	}
	a.opened("crossing")
	if a.answered("crossing") || a.takeBack("crossing") {
		t.Error("an answer that crosses the end of its request")
	}
	if len(a.open) != 0 {
		t.Errorf("%v is remembered", a.open)
	}
}

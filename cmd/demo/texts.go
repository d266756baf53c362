package main

import "strings"

// texts are what the agent is asked in the steps.
type texts struct {
	hello, first, second, third, lost, after string
}

// scripted asks the built-in agent, which does as it is told.
func scripted() texts {
	return texts{
		hello: lines(
			"/think Somebody wants to see how an answer arrives.",
			"/sleep 400ms", "/say A spool keeps its thread in order,",
			"/sleep 400ms", "/say one turn after the other,",
			"/sleep 400ms", "/say and nothing that was wound on it gets lost.",
		),
		first:  lines("/sleep 800ms", "/say This is the first of two."),
		second: "This one waited for the first.",
		third:  "/deltas 2000 5 20ms",
		lost:   "/deltas 2000 5 20ms",
		after:  "This one waited through a crash.",
	}
}

// asked asks a model.
func asked() texts {
	long := "Tell me the history of weaving in about eight hundred words."
	return texts{
		hello:  "In three short sentences: what is a spool of thread good for?",
		first:  "Name five colours of thread, one a line.",
		second: "Now name five fabrics, one a line.",
		third:  long,
		lost:   long,
		after:  "In one sentence: what did we talk about?",
	}
}

func lines(s ...string) string { return strings.Join(s, "\n") }

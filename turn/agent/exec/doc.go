// Package exec is the agent that is any program, in any language. The program is started
// for one turn and ends with it. It speaks lines of JSON: standard input says what the turn
// is, and later answers what the program asks; each line of standard output is one thing
// that it says or asks. docs/writing-an-agent.md describes the lines, lines.go and feed.go
// hold them.
//
//	{"type":"turn","text":"Hello","turn":{…},"config":{…},"history":[…],"tools":[…]}
//
//	{"type":"text","text":"Good "}
//	{"type":"text","text":"day."}
//
// In plain mode there are no lines of JSON: the program reads the text of the turn up to its
// end, and all that it prints is the answer, so that cat is an agent.
//
// The program has a process group of its own. An interrupt tells it to stop, then sends
// SIGTERM and in the end SIGKILL to the group; what is left of the group when the program
// has ended is killed, and all of it dies with the daemon, however that ends.
//
// Of the daemon's environment the program sees only what every program needs, and the
// variables that the options name. What the options give it is not shown in errors.
package exec

// Package script is the built-in agent that needs no model: it streams plain text back
// word by word, and lines that start with "/" make it do anything an agent can do, so that
// a client can be tested against every event. The list of these directives is in parse.go;
// each family has a file of its own.
//
//	Hello there
//	/think Let me see.
//	/say Done.
//
// Lines run in order. Plain lines in a row make one message; a line that starts with "//"
// is plain text with one slash less. An unknown directive, or one whose arguments make no
// sense, fails the turn with a text that says so; names are checked before anything runs.
// A turn without input of its own takes the text of the pending messages it consumes.
package script

package sdk

import "github.com/spoolhq/spool/protocol"

// Text is an input of one user message.
func Text(text string) protocol.Input { return protocol.TextInput(text) }

// Parts is an input of one user message with several parts.
func Parts(parts ...protocol.Part) protocol.Input {
	return protocol.Input{{Role: protocol.RoleUser, Parts: parts}}
}

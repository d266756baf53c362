package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// What commands do while a turn runs is what their --if-busy says.

const (
	ifBusy      = "if-busy"      // the flag
	busyChoices = "busy-choices" // annotation of the flag: its values that do not refuse
)

// busyFlag gives a command --if-busy with these values, of which the first, the default,
// refuses.
func busyFlag(cmd *cobra.Command, value *string, values []string, meaning string) {
	cmd.Flags().StringVar(value, ifBusy, values[0], "if a turn is running: "+meaning)
	_ = cmd.Flags().SetAnnotation(ifBusy, busyChoices, values[1:]) // the flag is there
}

// whileBusy says what can be done about a command that was refused because a turn runs.
func whileBusy(cmd *cobra.Command) string {
	f := cmd.Flags().Lookup(ifBusy)
	if f == nil {
		return "wait until it is over, or end it with spool interrupt"
	}
	choices := f.Annotations[busyChoices]
	last := len(choices) - 1
	return fmt.Sprintf("wait until it is over, or give --%s %s or %s", ifBusy, strings.Join(choices[:last], ", "), choices[last])
}

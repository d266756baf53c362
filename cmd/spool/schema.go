package main

import (
	"github.com/spf13/cobra"

	"github.com/spoolhq/spool/protocol/schema"
)

func newSchema(a *app) *cobra.Command {
	openrpc := false
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema or the OpenRPC document of the protocol",
		Long: `Print the JSON Schema of everything that passes between a client and the daemon, or an
OpenRPC document with all methods. Both belong to the version of this binary.`,
		Example: `  spool schema > spool.schema.json
  spool schema --openrpc | jq -r '.methods[].name'`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			document := schema.JSONSchema
			if openrpc {
				document = schema.OpenRPC
			}
			_, err := a.out.Write(document())
			return err
		},
	}
	cmd.Flags().BoolVar(&openrpc, "openrpc", false, "print the OpenRPC document")
	return cmd
}

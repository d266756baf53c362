package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// Every code has its name, and its name is that of its constant.
func TestErrorNamesComplete(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var constants []string
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			for _, name := range spec.Names {
				if s, ok := strings.CutPrefix(name.Name, "Code"); ok {
					constants = append(constants, s)
				}
			}
		}
		return true
	})
	var names []string
	for _, name := range ErrorNames {
		names = append(names, name)
	}
	slices.Sort(constants)
	slices.Sort(names)
	if len(names) < 25 || !slices.Equal(constants, names) {
		t.Errorf("constants %v\nnames     %v", constants, names)
	}
}

func TestErrorIs(t *testing.T) {
	err := fmt.Errorf("accepting: %w", Errorf(CodeTurnInProgress, "turn %s runs", "trn_1"))
	if !errors.Is(err, &Error{Code: CodeTurnInProgress}) || errors.Is(err, &Error{Code: CodeTurnNotFound}) || errors.Is(err, errors.New("x")) {
		t.Error("errors.Is goes by something else than the code")
	}
	e := AsError(err)
	if e.Error() != "turn trn_1 runs" || e.Data.Name != "TurnInProgress" {
		t.Errorf("%+v", e)
	}
	if e := AsError(errors.New("secret")); e.Code != CodeInternalError || strings.Contains(e.Message, "secret") {
		t.Errorf("%+v", e)
	}
	if e := InvalidConfig("temperature", "must be a number"); e.Code != CodeInvalidConfig || e.Data.Field != "temperature" || e.Message != "temperature must be a number" {
		t.Errorf("%+v", e)
	}
	if e := ThreadNotFound(); e.Code != CodeThreadNotFound {
		t.Errorf("%+v", e)
	}
}

func TestErrorOfAnyServer(t *testing.T) {
	tests := []struct {
		raw  string
		want Error
	}{
		{`{"code":-32010,"message":"m"}`, Error{Code: -32010, Message: "m", Data: ErrorData{Name: "ThreadNotFound"}}},
		{`{"code":-32010,"message":"m","data":"text"}`, Error{Code: -32010, Message: "m", Data: ErrorData{Name: "ThreadNotFound"}}},
		{`{"code":-1,"message":"m","data":null}`, Error{Code: -1, Message: "m"}},
		{`{"code":-1,"message":"m","data":{"name":"Own","field":"f","new":1}}`, Error{Code: -1, Message: "m", Data: ErrorData{Name: "Own", Field: "f"}}},
	}
	for _, tt := range tests {
		var got Error
		if err := json.Unmarshal([]byte(tt.raw), &got); err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v", tt.raw, got, err)
		}
	}
	if err := json.Unmarshal([]byte(`{"code":"x"}`), new(Error)); err == nil {
		t.Error("a code that is text was read")
	}
}

// Kubernetes' own functions, asked line by line: a question on standard input, its answer on standard output.
//
// A question is {"of": FUNCTION, "in": INPUT}; an answer {"out": VALUE}, {"error": TEXT} or, where the function itself fails
// at run time, {"panicked": TEXT}. The inputs are made by who asks.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
)

type question struct {
	Of string          `json:"of"`
	In json.RawMessage `json:"in"`
}

type answer struct {
	Out      any    `json:"out,omitempty"`
	Error    string `json:"error,omitempty"`
	Panicked string `json:"panicked,omitempty"`
}

// The functions by name. Each gets its input undecoded.
var functions = map[string]func(json.RawMessage) (any, error){
	"pod-security":    podSecurity,
	"quantity":        quantity,
	"label-selector":  labelSelector,
	"field-selector":  fieldSelector,
	"name":            name,
	"json":            fromJSON,
	"protobuf":        fromProtobuf,
	"protobuf-of-go":  toProtobuf,
	"json-patch":      jsonPatch,
	"merge-patch":     mergePatch,
	"strategic-patch": strategicPatch,
	"apply":           apply,
	"structural":      structural,
	"cel":             expression,
	"rbac":            authorize,
	"rbac-escalation": escalate,
}

// text decodes an input that is a string.
func text(in json.RawMessage) string {
	var text string
	if err := json.Unmarshal(in, &text); err != nil {
		panic(err)
	}
	return text
}

// answered is what a function answers. What this program itself panics with is no runtime error, and ends it.
func answered(asked question) (given answer) {
	defer func() {
		switch cause := recover().(type) {
		case nil:
		case runtime.Error:
			given = answer{Panicked: "panicked: " + cause.Error()}
		default:
			panic(cause)
		}
	}()
	out, err := functions[asked.Of](asked.In)
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Out: out}
}

func main() {
	reader := bufio.NewReaderSize(os.Stdin, 1<<20)
	writer := bufio.NewWriter(os.Stdout)
	defer writer.Flush()
	encoder := json.NewEncoder(writer)
	encoder.SetEscapeHTML(false)
	for {
		line, err := reader.ReadBytes('\n')
		if len(line) == 0 && err != nil {
			return
		}
		var asked question
		if err := json.Unmarshal(line, &asked); err != nil {
			panic(fmt.Sprintf("%v: %s", err, line))
		}
		if err := encoder.Encode(answered(asked)); err != nil {
			panic(err)
		}
	}
}

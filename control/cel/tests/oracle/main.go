// The reference: evaluates each case with Kubernetes' own CEL environment and prints what it finds, a line of JSON a case.
// Usage: go run . cases.txt > expected.jsonl (see README.md).
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/interpreter"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	"k8s.io/apimachinery/pkg/util/version"
	apicel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/common"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/cel/library"
)

type sizes struct{ root *apicel.DeclType }

func (s sizes) EstimateCallCost(string, string, *checker.AstNode, []checker.AstNode) *checker.CallEstimate {
	return nil
}

// EstimateSize follows the path of a node through the declaration, as the estimator of apiextensions does.
func (s sizes) EstimateSize(node checker.AstNode) *checker.SizeEstimate {
	if len(node.Path()) == 0 {
		return nil
	}
	at := s.root
	for _, step := range node.Path()[1:] {
		switch step {
		case "@items", "@values":
			at = at.ElemType
		case "@keys":
			at = at.KeyType
		default:
			field, found := at.Fields[step]
			if !found {
				return nil
			}
			at = field.Type
		}
		if at == nil {
			return nil
		}
	}
	return &checker.SizeEstimate{Min: 0, Max: uint64(at.MaxElements)}
}

type result struct {
	Expr    string  `json:"expr"`
	Compile string  `json:"compile,omitempty"`
	Type    string  `json:"type,omitempty"`
	Most    uint64  `json:"most,omitempty"`
	Error   string  `json:"error,omitempty"`
	Value   string  `json:"value,omitempty"`
	Cost    *uint64 `json:"cost,omitempty"`
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func read(path string, into any) {
	text, err := os.ReadFile(path)
	must(err)
	must(json.Unmarshal(text, into))
}

func main() {
	var props v1.JSONSchemaProps
	read("schema.json", &props)
	var internal apiextensions.JSONSchemaProps
	must(v1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(&props, &internal, nil))
	structural, err := schema.NewStructural(&internal)
	must(err)
	decl := model.SchemaDeclType(structural, true).MaybeAssignTypeName("selfType")
	var raw []byte
	raw, err = os.ReadFile("data.json")
	must(err)
	self, err := decode(raw)
	must(err)

	base := environment.MustBaseEnvSet(version.MajorMinor(1, 35))
	set, err := base.Extend(environment.VersionedOptions{
		IntroducedVersion: version.MajorMinor(1, 0),
		EnvOptions:        []cel.EnvOption{cel.Variable("self", decl.CelType()), cel.Variable("dynamic", cel.DynType)},
		DeclTypes:         []*apicel.DeclType{decl},
	})
	must(err)
	env, err := set.Env(environment.NewExpressions)
	must(err)
	estimator := &library.CostEstimator{SizeEstimator: sizes{decl}}
	vars, err := interpreter.NewActivation(map[string]any{
		"self":    common.UnstructuredToVal(self, (&model.Structural{Structural: structural}).WithTypeAndObjectMeta()),
		"dynamic": self,
	})
	must(err)

	file, err := os.Open(os.Args[1])
	must(err)
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for lines.Scan() {
		if expr := strings.ReplaceAll(lines.Text(), "\\n", "\n"); expr != "" {
			must(out.Encode(evaluate(env, estimator, vars, expr)))
		}
	}
}

func decode(raw []byte) (any, error) {
	var v any
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return numbers(v), nil
}

func numbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, one := range v {
			v[k] = numbers(one)
		}
	case []any:
		for i, one := range v {
			v[i] = numbers(one)
		}
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		f, _ := v.Float64()
		return f
	}
	return v
}

func evaluate(env *cel.Env, estimator *library.CostEstimator, vars interpreter.Activation, expr string) (r result) {
	r.Expr = expr
	ast, issues := env.Compile(expr)
	if issues != nil {
		r.Compile = issues.String()
		return
	}
	r.Type = checker.FormatCELType(ast.OutputType())
	program, err := env.Program(ast, cel.CostLimit(1000000), cel.CostTracking(estimator))
	if err != nil {
		r.Compile = err.Error()
		return
	}
	most, err := env.EstimateCost(ast, estimator)
	must(err)
	r.Most = most.Max
	value, details, err := program.Eval(vars)
	if details != nil {
		r.Cost = details.ActualCost()
	}
	if err != nil {
		r.Error = err.Error()
		return
	}
	r.Value = fmt.Sprintf("%v", shown(value.Value()))
	return
}

func shown(v any) any {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("%q", v)
	case bool, int64, uint64, float64:
		return v
	}
	return "?"
}

package main

import (
	"encoding/json"
	"fmt"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/interpreter"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/version"
	apicel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/common"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/cel/library"
)

// sizes are those that the declaration of what expressions are about says.
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

// result is what is found of an expression: the errors of its compilation, or its type, the most it can cost, its value or
// its error, and what it did cost.
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

// world is Kubernetes' environment with what expressions are about.
type world struct {
	env       *cel.Env
	estimator *library.CostEstimator
	vars      interpreter.Activation
}

// worldOf makes the world of a schema and of data that is as it says.
func worldOf(props v1.JSONSchemaProps, data json.RawMessage) *world {
	var internal apiextensions.JSONSchemaProps
	must(v1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(&props, &internal, nil))
	structural, err := schema.NewStructural(&internal)
	must(err)
	decl := model.SchemaDeclType(structural, true).MaybeAssignTypeName("selfType")
	var self map[string]any
	must(utiljson.Unmarshal(data, &self))
	base := environment.MustBaseEnvSet(version.MajorMinor(1, 35))
	set, err := base.Extend(environment.VersionedOptions{
		IntroducedVersion: version.MajorMinor(1, 0),
		EnvOptions:        []cel.EnvOption{cel.Variable("self", decl.CelType()), cel.Variable("dynamic", cel.DynType)},
		DeclTypes:         []*apicel.DeclType{decl},
	})
	must(err)
	env, err := set.Env(environment.NewExpressions)
	must(err)
	vars, err := interpreter.NewActivation(map[string]any{
		"self":    common.UnstructuredToVal(self, (&model.Structural{Structural: structural}).WithTypeAndObjectMeta()),
		"dynamic": self,
	})
	must(err)
	return &world{env, &library.CostEstimator{SizeEstimator: sizes{decl}}, vars}
}

var (
	once  sync.Once
	first *world
)

// expression answers what is found of an expression. All questions have the schema and the data of the first one.
func expression(in json.RawMessage) (any, error) {
	var asked struct {
		Schema v1.JSONSchemaProps `json:"schema"`
		Data   json.RawMessage    `json:"data"`
		Expr   string             `json:"expr"`
	}
	must(json.Unmarshal(in, &asked))
	once.Do(func() { first = worldOf(asked.Schema, asked.Data) })
	return first.evaluate(asked.Expr), nil
}

func (w *world) evaluate(expr string) (r result) {
	r.Expr = expr
	ast, issues := w.env.Compile(expr)
	if issues != nil {
		r.Compile = issues.String()
		return
	}
	r.Type = checker.FormatCELType(ast.OutputType())
	program, err := w.env.Program(ast, cel.CostLimit(1000000), cel.CostTracking(w.estimator))
	if err != nil {
		r.Compile = err.Error()
		return
	}
	most, err := w.env.EstimateCost(ast, w.estimator)
	must(err)
	r.Most = most.Max
	value, details, err := program.Eval(w.vars)
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

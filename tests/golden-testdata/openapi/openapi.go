// Prints what OpenAPI says of Kubernetes' types and no Rust crate keeps: the values of enumerated fields with what each
// means, unions, and the texts of types that the schema has as scalars. The output is control/schema/data/openapi.json;
// the argument is pkg/generated/openapi/zz_generated.openapi.go of k8s.io/kubernetes:
// `go run ./openapi FILE > ../../control/schema/data/openapi.json` makes it anew.
package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"sort"
	"strconv"
	"strings"
)

// Prefixes of the functions that describe types, and of the types' names. Others describe types that are no part of the
// API.
var packages = [][2]string{
	{"schema_k8sio_api_", "io.k8s.api."},
	{"schema_pkg_apis_meta_v1_", "io.k8s.apimachinery.pkg.apis.meta.v1."},
	{"schema_pkg_apis_apiextensions_v1_", "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."},
	{"schema_pkg_apis_apiregistration_v1_", "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1."},
	{"schema_apimachinery_pkg_api_resource_", "io.k8s.apimachinery.pkg.api.resource."},
	{"schema_apimachinery_pkg_util_intstr_", "io.k8s.apimachinery.pkg.util.intstr."},
	{"schema_k8sio_apimachinery_pkg_runtime_", "io.k8s.apimachinery.pkg.runtime."},
}

// Types that the schema has as scalars, or not at all.
var scalars = []string{
	"Quantity", "Time", "MicroTime", "Duration", "IntOrString", "FieldsV1", "RawExtension", "Patch",
	"JSON", "JSONSchemaPropsOrArray", "JSONSchemaPropsOrBool", "JSONSchemaPropsOrStringArray",
}

const listed = "Possible enum values:"

type enum struct {
	Values []string `json:"values"`
	// What is added to a field's description.
	Text string `json:"text"`
	// `io.k8s.api.core.v1.Container.imagePullPolicy`, sorted.
	Fields []string `json:"fields"`
}

type facts struct {
	Enums  []*enum           `json:"enums"`
	Unions map[string]any    `json:"unions"`
	Texts  map[string]string `json:"texts"`
}

func name(function string) string {
	for _, pair := range packages {
		if rest, found := strings.CutPrefix(function, pair[0]); found {
			return pair[1] + strings.ReplaceAll(rest, "_", ".")
		}
	}
	return ""
}

// The members of a composite literal by their keys.
func members(node ast.Node) map[string]ast.Expr {
	out := map[string]ast.Expr{}
	if literal, is := node.(*ast.CompositeLit); is {
		for _, element := range literal.Elts {
			if pair, is := element.(*ast.KeyValueExpr); is {
				out[key(pair.Key)] = pair.Value
			}
		}
	}
	return out
}

func key(node ast.Expr) string {
	switch node := node.(type) {
	case *ast.Ident:
		return node.Name
	case *ast.BasicLit:
		return text(node)
	}
	return ""
}

func text(node ast.Expr) string {
	if literal, is := node.(*ast.BasicLit); is && literal.Kind == token.STRING {
		value, err := strconv.Unquote(literal.Value)
		if err != nil {
			panic(err)
		}
		return value
	}
	return ""
}

func value(node ast.Expr) any {
	literal, is := node.(*ast.CompositeLit)
	if !is {
		return text(node)
	}
	if _, is := literal.Type.(*ast.ArrayType); is {
		list := []any{}
		for _, element := range literal.Elts {
			list = append(list, value(element))
		}
		return list
	}
	all := map[string]any{}
	for name, member := range members(literal) {
		all[name] = value(member)
	}
	return all
}

// The first literal of a schema in a function: that of OpenAPI v3 where it has two.
func schema(function *ast.FuncDecl) (found map[string]ast.Expr) {
	ast.Inspect(function, func(node ast.Node) bool {
		pair, is := node.(*ast.KeyValueExpr)
		if is && found == nil && key(pair.Key) == "Schema" {
			found = members(pair.Value)
		}
		return found == nil
	})
	return found
}

func (all *facts) field(at string, schema ast.Expr) {
	props := members(members(schema)["SchemaProps"])
	values := props["Enum"]
	for _, name := range []string{"Items", "AdditionalProperties"} {
		items, is := props[name]
		if !is || values != nil {
			continue
		}
		if pointer, is := items.(*ast.UnaryExpr); is {
			items = pointer.X
		}
		inner := members(items)["Schema"]
		if pointer, is := inner.(*ast.UnaryExpr); is {
			inner = pointer.X
		}
		values = members(members(inner)["SchemaProps"])["Enum"]
	}
	if values == nil {
		return
	}
	found := &enum{}
	for _, one := range value(values).([]any) {
		found.Values = append(found.Values, one.(string))
	}
	if _, after, is := strings.Cut(text(props["Description"]), listed); is {
		found.Text = listed + after
	}
	for _, known := range all.Enums {
		if known.Text == found.Text && strings.Join(known.Values, ",") == strings.Join(found.Values, ",") {
			known.Fields = append(known.Fields, at)
			return
		}
	}
	found.Fields = []string{at}
	all.Enums = append(all.Enums, found)
}

func main() {
	file, err := parser.ParseFile(token.NewFileSet(), os.Args[1], nil, 0)
	if err != nil {
		panic(err)
	}
	all := facts{Unions: map[string]any{}, Texts: map[string]string{}}
	for _, declaration := range file.Decls {
		function, is := declaration.(*ast.FuncDecl)
		if !is {
			continue
		}
		at := name(function.Name.Name)
		if at == "" {
			continue
		}
		of := schema(function)
		props := members(of["SchemaProps"])
		for _, scalar := range scalars {
			if strings.HasSuffix(at, "."+scalar) {
				all.Texts[at] = text(props["Description"])
			}
		}
		for field, of := range members(props["Properties"]) {
			all.field(at+"."+field, of)
		}
		if extensible := members(of["VendorExtensible"]); extensible != nil {
			if unions, is := members(extensible["Extensions"])["x-kubernetes-unions"]; is {
				all.Unions[at] = value(unions)
			}
		}
	}
	for _, one := range all.Enums {
		sort.Strings(one.Fields)
	}
	sort.Slice(all.Enums, func(a, b int) bool { return all.Enums[a].Fields[0] < all.Enums[b].Fields[0] })
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	out.SetIndent("", " ")
	if err := out.Encode(all); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

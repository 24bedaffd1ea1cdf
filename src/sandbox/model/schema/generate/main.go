// Writes ../kubernetes.json: the published OpenAPI v3 schemas of the kinds the sandbox serves, with two additions per property.
// "x-go" is how the API server's encoder treats an empty value: "omitempty" drops it, "always" writes it, "null" writes it as null;
// without it the field is a pointer, kept as it was given. It decides what `kubectl get -o yaml` shows. "x-proto" is the field's
// number in the protobuf form, with the number of the message around it where JSON has none.
//
// The schemas are those that a running API server publishes, saved one file per group and version:
//
//	kubectl get --raw /openapi/v3/apis/apps/v1 > DIR/apis__apps__v1_openapi.json ...
//	go mod tidy && go run . DIR > ../kubernetes.json
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strconv"
	"strings"

	apps "k8s.io/api/apps/v1"
	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	events "k8s.io/api/events/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	rbac "k8s.io/api/rbac/v1"
	scheduling "k8s.io/api/scheduling/v1"
	storage "k8s.io/api/storage/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var roots = []any{
	core.Namespace{}, core.Node{}, core.Pod{}, core.Service{}, core.ConfigMap{}, core.Secret{}, core.Event{}, core.ServiceAccount{},
	core.ResourceQuota{}, core.Binding{}, apps.Deployment{}, apps.ReplicaSet{}, discovery.EndpointSlice{}, networking.Ingress{},
	networking.IngressClass{}, networking.NetworkPolicy{}, coordination.Lease{}, autoscaling.HorizontalPodAutoscaler{},
	autoscalingv1.HorizontalPodAutoscaler{}, autoscalingv1.Scale{}, policy.PodDisruptionBudget{}, policy.Eviction{},
	apiextensions.CustomResourceDefinition{}, rbac.Role{}, rbac.RoleBinding{}, rbac.ClusterRole{}, rbac.ClusterRoleBinding{},
	scheduling.PriorityClass{}, storage.StorageClass{}, events.Event{}, authorization.SelfSubjectAccessReview{},
	authorization.SubjectAccessReview{}, authorization.SelfSubjectRulesReview{}, authentication.SelfSubjectReview{},
	authentication.TokenReview{}, meta.DeleteOptions{}, meta.ObjectMeta{}, meta.ListMeta{}, meta.Status{},
}

// Types that encode themselves.
var opaque = map[string]bool{"Time": true, "MicroTime": true, "Quantity": true, "IntOrString": true, "RawExtension": true,
	"FieldsV1": true, "JSON": true, "Duration": true, "JSONSchemaPropsOrBool": true, "JSONSchemaPropsOrArray": true,
	"JSONSchemaPropsOrStringArray": true}

type field struct {
	name  string
	hint  string
	proto []int
	from  reflect.Type
}

func schemaName(t reflect.Type) string {
	path := strings.ReplaceAll(t.PkgPath(), "k8s.io/", "io.k8s.")
	return strings.ReplaceAll(path, "/", ".") + "." + t.Name()
}

func fields(t reflect.Type) []field {
	var out []field
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		if name == "-" || (tag == "" && !f.Anonymous) {
			continue
		}
		proto := numbers(f.Tag.Get("protobuf"))
		if name == "" {
			for _, inner := range fields(f.Type) {
				// What is embedded without a number, kind and version, is not in the message at all.
				if len(proto) > 0 {
					proto := append([]int{}, proto...)
					inner.proto = append(proto, inner.proto...)
				} else {
					inner.proto = nil
				}
				out = append(out, inner)
			}
			continue
		}
		hint := "always"
		if strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero") {
			hint = "omitempty"
			// encoding/json never finds a struct empty.
			if f.Type.Kind() == reflect.Struct && !strings.Contains(options, "omitzero") {
				hint = "always"
			}
		}
		if f.Type.Kind() == reflect.Pointer {
			hint = map[string]string{"always": "null", "omitempty": ""}[hint]
		}
		out = append(out, field{name, hint, proto, f.Type})
	}
	return out
}

// The number in a tag such as `bytes,2,opt,name=spec`.
func numbers(tag string) []int {
	parts := strings.Split(tag, ",")
	if len(parts) < 2 {
		return nil
	}
	number, err := strconv.Atoi(parts[1])
	check(err)
	return []int{number}
}

var types = map[string]reflect.Type{}

func visit(t reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		visit(t.Elem())
	case reflect.Struct:
		name := schemaName(t)
		if _, seen := types[name]; seen {
			return
		}
		types[name] = t
		if opaque[t.Name()] {
			return
		}
		for _, f := range fields(t) {
			visit(f.from)
		}
	}
}

func main() {
	files, err := filepath.Glob(filepath.Join(os.Args[1], "*_openapi.json"))
	check(err)
	published := map[string]map[string]any{}
	for _, file := range files {
		var document struct {
			Components struct{ Schemas map[string]map[string]any }
		}
		content, err := os.ReadFile(file)
		check(err)
		check(json.Unmarshal(content, &document))
		for name, schema := range document.Components.Schemas {
			published[name] = schema
		}
	}
	for _, root := range roots {
		visit(reflect.TypeOf(root))
	}
	var names []string
	for name := range types {
		names = append(names, name)
	}
	sort.Strings(names)
	fmt.Println("{")
	for i, name := range names {
		if i > 0 {
			fmt.Println(",")
		}
		schema, ok := published[name]
		if !ok {
			panic("no published schema for " + name)
		}
		write(name, schema, types[name])
	}
	fmt.Println("\n}")
}

// One line per property, in the order the Go struct has them, which is the order the API server writes.
func write(name string, schema map[string]any, t reflect.Type) {
	properties, _ := schema["properties"].(map[string]any)
	delete(schema, "properties")
	head := line(schema)
	if properties == nil || opaque[t.Name()] {
		fmt.Printf("%s: %s", line(name), head)
		return
	}
	fmt.Printf("%s: %s,\"properties\":{\n", line(name), strings.TrimSuffix(head, "}"))
	for i, f := range fields(t) {
		property, ok := properties[f.name].(map[string]any)
		if !ok {
			panic(name + " has no published property " + f.name)
		}
		if f.hint != "" {
			property["x-go"] = f.hint
		}
		if len(f.proto) > 0 {
			property["x-proto"] = f.proto
		}
		if i > 0 {
			fmt.Println(",")
		}
		fmt.Printf(" %s: %s", line(f.name), line(property))
	}
	fmt.Print("\n}}")
}

func line(value any) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	check(encoder.Encode(value))
	return strings.TrimSpace(out.String())
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

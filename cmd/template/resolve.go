package template

import (
	"fmt"
	"maps"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Resource is what a stack of one of our templates has made.
type Resource struct {
	Type       string
	Properties map[string]any
}

// Place is the stack for which a template is resolved.
type Place struct {
	Partition, Account, Region string
	Parameters                 map[string]string // left out: the template's default
}

// Template is one of this package's templates, read.
type Template struct {
	Parameters map[string]struct {
		Default any `yaml:"Default"`
	} `yaml:"Parameters"`
	Conditions map[string]any `yaml:"Conditions"`
	Resources  map[string]struct {
		Type       string         `yaml:"Type"`
		Condition  string         `yaml:"Condition"`
		Properties map[string]any `yaml:"Properties"`
	} `yaml:"Resources"`
}

// Read reads what this package has printed.
func Read(text []byte) (f Template, err error) {
	if err := yaml.Unmarshal(text, &f); err != nil {
		return f, fmt.Errorf("read the template: %w", err)
	}
	return f, nil
}

// Resolve returns the resources that a stack of the template makes, by their logical IDs, as CloudFormation would:
// with parameters, conditions and references in place. The ARN of what CloudFormation gives a name itself is "".
func (f Template) Resolve(at Place) map[string]Resource {
	r := resolver{conditions: f.Conditions, names: map[string]string{"AWS::AccountId": at.Account, "AWS::Region": at.Region, "AWS::Partition": at.Partition}, arns: map[string]string{}}
	for name, p := range f.Parameters {
		r.names[name], _ = p.Default.(string)
	}
	maps.Copy(r.names, at.Parameters)
	global := "arn:" + at.Partition + ":iam::" + at.Account + ":"
	for id, res := range f.Resources {
		for property, kind := range map[string]string{"RoleName": "role/", "InstanceProfileName": "instance-profile/", "ManagedPolicyName": "policy/"} {
			if name, ok := r.value(res.Properties[property]).(string); ok {
				r.names[id], r.arns[id] = name, global+kind+name
			}
		}
	}
	made := map[string]Resource{}
	for id, res := range f.Resources {
		if res.Condition != "" && !r.holds(map[string]any{"Condition": res.Condition}) {
			continue
		}
		properties, _ := r.value(res.Properties).(map[string]any)
		made[id] = Resource{res.Type, properties}
	}
	return made
}

// resolver knows the intrinsic functions that our templates use.
type resolver struct {
	names, arns map[string]string // by logical ID
	conditions  map[string]any
}

// left is AWS::NoValue: the property, or the element of a list, is left out.
type left struct{}

func (r resolver) value(v any) any {
	switch v := v.(type) {
	case []any:
		list := []any{}
		for _, x := range v {
			if x = r.value(x); x != (left{}) {
				list = append(list, x)
			}
		}
		return list
	case map[string]any:
		for function, of := range v {
			if len(v) > 1 {
				break
			}
			switch function {
			case "Ref":
				if of == "AWS::NoValue" {
					return left{}
				}
				return r.names[of.(string)]
			case "Fn::GetAtt":
				return r.arns[of.([]any)[0].(string)]
			case "Fn::Sub":
				pairs := []string{}
				for name, value := range r.names {
					pairs = append(pairs, "${"+name+"}", value)
				}
				return strings.NewReplacer(pairs...).Replace(of.(string))
			case "Fn::If":
				branch := of.([]any)
				if r.holds(map[string]any{"Condition": branch[0]}) {
					return r.value(branch[1])
				}
				return r.value(branch[2])
			}
		}
		object := map[string]any{}
		for key, x := range v {
			if x = r.value(x); x != (left{}) {
				object[key] = x
			}
		}
		return object
	}
	return v
}

// holds evaluates a condition.
func (r resolver) holds(v any) bool {
	for function, of := range v.(map[string]any) {
		switch function {
		case "Condition":
			return r.holds(r.conditions[of.(string)])
		case "Fn::Not":
			return !r.holds(of.([]any)[0])
		case "Fn::Equals":
			pair := of.([]any)
			return r.value(pair[0]) == r.value(pair[1])
		case "Fn::And":
			for _, x := range of.([]any) {
				if !r.holds(x) {
					return false
				}
			}
			return true
		}
	}
	panic(fmt.Sprintf("condition %v", v)) // our own templates alone come here
}

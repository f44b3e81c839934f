package awsfake

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// RecordTrail makes the cloud write the calls from now on into the Event histories, as CloudTrail does, but
// at once. A call's parameters and answer are the SDK's, with CloudTrail's spelling: that is true of IAM and
// STS; EC2 has other forms.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
func (c *Cloud) RecordTrail() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recording = true
}

// record writes a call into the history of the caller's account, and of the account whose role is assumed.
func (k *request) record(o operation, in, out any, err error) {
	accounts := []*Account{k.account}
	resources := names(in)
	if ar, ok := in.(*sts.AssumeRoleInput); ok {
		resources = []string{aws.ToString(ar.RoleArn)}
		if _, other := k.c.roleByARN(resources[0], k.now); other != nil && other != k.account {
			accounts = append(accounts, other)
		}
	}
	service, call, _ := strings.Cut(k.op, ":")
	region := k.region
	if service == "iam" || service == "sts" {
		region = "us-east-1"
	}
	for _, a := range accounts {
		k.c.recorded++
		id := fmt.Sprintf("5e1f0000-0000-4000-8000-%012d", k.c.recorded)
		record := map[string]any{
			"eventVersion": "1.11", "eventSource": service + ".amazonaws.com", "eventName": call, "eventTime": k.now.UTC().Format(time.RFC3339), "eventID": id,
			"awsRegion": region, "recipientAccountId": a.id, "sourceIPAddress": "198.51.100.7", "userAgent": "aws-cli/2.31.8", "readOnly": !o.mutating && call != "AssumeRole",
			"userIdentity": k.identity(a), "requestParameters": spelled(reflect.ValueOf(in)), "eventType": "AwsApiCall", "managementEvent": true,
		}
		if err != nil {
			record["errorCode"] = code(err)
		} else if o.mutating || call == "AssumeRole" {
			record["responseElements"] = spelled(reflect.ValueOf(out))
		}
		text, jerr := json.Marshal(record)
		if jerr != nil {
			panic(jerr) // texts, numbers and truths
		}
		e := trailtypes.Event{EventId: &id, EventName: &call, EventSource: aws.String(service + ".amazonaws.com"), EventTime: aws.Time(k.now.Truncate(time.Second)),
			ReadOnly: aws.String(fmt.Sprint(record["readOnly"])), CloudTrailEvent: aws.String(string(text))}
		if a == k.account {
			e.AccessKeyId, e.Username = aws.String(k.caller.keyID), aws.String(or(k.caller.userName, k.caller.name))
		}
		for _, r := range resources {
			e.Resources = append(e.Resources, trailtypes.Resource{ResourceName: aws.String(r)})
		}
		if a.events == nil {
			a.events = map[string][]trailtypes.Event{}
		}
		a.events[region] = slices.Insert(a.events[region], 0, e)
		slices.SortStableFunc(a.events[region], func(x, y trailtypes.Event) int { return at(y).Compare(at(x)) })
	}
}

// identity is the caller as an account's history names them.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html
func (k *request) identity(in *Account) map[string]any {
	s := k.caller
	switch {
	case in != k.account:
		return map[string]any{"type": "AWSAccount", "accountId": k.account.id, "principalId": or(s.roleID, s.userID) + ":" + s.name}
	case s.userName != "":
		return map[string]any{"type": "IAMUser", "principalId": s.userID, "arn": s.arn, "accountId": k.account.id, "accessKeyId": s.keyID, "userName": s.userName}
	}
	role := k.c.arn("iam", k.account.id, "role/"+s.roleName)
	if r := k.account.roles[s.roleName].current(); r != nil {
		role = r.ARN
	}
	return map[string]any{"type": "AssumedRole", "principalId": s.roleID + ":" + s.name, "arn": s.arn, "accountId": k.account.id, "accessKeyId": s.keyID,
		"sessionContext": map[string]any{"sessionIssuer": map[string]string{"type": "Role", "principalId": s.roleID, "arn": role, "accountId": k.account.id, "userName": s.roleName}}}
}

// names are the names and ARNs in a call's parameters.
func names(in any) (all []string) {
	v := reflect.Indirect(reflect.ValueOf(in))
	for i := range v.NumField() {
		if field := v.Type().Field(i).Name; strings.HasSuffix(field, "Name") || strings.HasSuffix(field, "Arn") {
			if s, ok := reflect.TypeAssert[*string](v.Field(i)); ok && aws.ToString(s) != "" {
				all = append(all, *s)
			}
		}
	}
	return all
}

// secrets are what CloudTrail leaves out.
var secrets = []string{"SecretAccessKey", "Password", "ResultMetadata"}

// spelled is a value of the SDK as CloudTrail writes it.
func spelled(v reflect.Value) any {
	switch k := v.Kind(); {
	case k == reflect.Pointer, k == reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return spelled(v.Elem())
	case k == reflect.Slice:
		var all []any
		for i := range v.Len() {
			all = append(all, spelled(v.Index(i)))
		}
		return all
	case k == reflect.Struct:
		if t, ok := reflect.TypeAssert[time.Time](v); ok {
			return t.UTC().Format("Jan 2, 2006 3:04:05 PM")
		}
		fields := map[string]any{}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() || slices.Contains(secrets, f.Name) {
				continue
			}
			if s := spelled(v.Field(i)); s != nil && s != "" {
				name := []rune(f.Name)
				name[0] = unicode.ToLower(name[0])
				fields[string(name)] = s
			}
		}
		return fields
	case k == reflect.String:
		return v.String()
	case k == reflect.Bool:
		return v.Bool()
	case v.CanInt():
		return v.Int()
	}
	return nil
}

package awsfake

import (
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// kmsOperations: the listings of keys and aliases have no resource type ("Actions, resources, and condition keys
// for AWS Key Management Service", Service Authorization Reference).
var kmsOperations = map[string]operation{
	"kms:ListKeys":    {run: bind(reads, listKeys).run, needs: onAll},
	"kms:ListAliases": {run: bind(reads, listAliases).run, needs: onAll},
	"kms:ListGrants": {run: bind(reads, listGrants).run, needs: func(k *request, in any) []need {
		return []need{k.on(k.keyARN(field(in, "KeyId")))}
	}},
}

// A Key is a key of AWS KMS.
type Key struct {
	ID, Alias string // alias/…, or empty
	Grants    []kmstypes.GrantListEntry
	// Closed is a key whose policy leaves nothing to the account's policies: "Unless the key policy explicitly
	// allows it, you cannot use IAM policies to allow access to a KMS key".
	// https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html
	Closed bool
}

// AddKey puts a key into a region of the account, empty for the cloud's own. Nothing here writes keys, so they are
// not in the Snapshot.
func (a *Account) AddKey(region string, key Key) {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	if a.keys == nil {
		a.keys = map[string][]Key{}
	}
	region = or(region, a.c.Region())
	a.keys[region] = append(a.keys[region], key)
}

func (k *request) keyARN(id string) string {
	return strings.Join([]string{"arn", k.c.partition, "kms", k.region, k.account.id, "key/" + id}, ":")
}

// kmsPage returns the part of n items that a marker and a limit mean, and the next marker.
func kmsPage(n int, marker *string, limit *int32, usual, most int32) (from, to int, next *string, err error) {
	if size := or32(limit, usual); size < 1 || size > most {
		return 0, 0, nil, apiError("ValidationException", "1 validation error detected: Value at 'limit' failed to satisfy constraint")
	}
	if marker != nil {
		if from, err = strconv.Atoi(*marker); err != nil || from > n {
			return 0, 0, nil, &kmstypes.InvalidMarkerException{Message: aws.String("Invalid marker")}
		}
	}
	if to = min(from+int(or32(limit, usual)), n); to < n {
		next = aws.String(strconv.Itoa(to))
	}
	return from, to, next, nil
}

// listKeys: https://docs.aws.amazon.com/kms/latest/APIReference/API_ListKeys.html
func listKeys(k *request, in *kms.ListKeysInput) (*kms.ListKeysOutput, error) {
	all := k.account.keys[k.region]
	from, to, next, err := kmsPage(len(all), in.Marker, in.Limit, 100, 1000)
	if err != nil {
		return nil, err
	}
	out := &kms.ListKeysOutput{NextMarker: next, Truncated: next != nil}
	for _, key := range all[from:to] {
		out.Keys = append(out.Keys, kmstypes.KeyListEntry{KeyId: aws.String(key.ID), KeyArn: aws.String(k.keyARN(key.ID))})
	}
	return out, nil
}

// listAliases: https://docs.aws.amazon.com/kms/latest/APIReference/API_ListAliases.html
func listAliases(k *request, in *kms.ListAliasesInput) (*kms.ListAliasesOutput, error) {
	var all []kmstypes.AliasListEntry
	for _, key := range k.account.keys[k.region] {
		if key.Alias != "" {
			all = append(all, kmstypes.AliasListEntry{AliasName: aws.String(key.Alias), TargetKeyId: aws.String(key.ID)})
		}
	}
	from, to, next, err := kmsPage(len(all), in.Marker, in.Limit, 50, 100)
	if err != nil {
		return nil, err
	}
	return &kms.ListAliasesOutput{Aliases: all[from:to], NextMarker: next, Truncated: next != nil}, nil
}

// listGrants: https://docs.aws.amazon.com/kms/latest/APIReference/API_ListGrants.html
func listGrants(k *request, in *kms.ListGrantsInput) (*kms.ListGrantsOutput, error) {
	all := k.account.keys[k.region]
	i := slices.IndexFunc(all, func(key Key) bool { return key.ID == aws.ToString(in.KeyId) })
	switch {
	case i < 0:
		return nil, &kmstypes.NotFoundException{Message: aws.String("Key '" + k.keyARN(aws.ToString(in.KeyId)) + "' does not exist")}
	case all[i].Closed:
		return nil, k.denied(k.op, k.keyARN(all[i].ID), "because no resource-based policy allows the kms:ListGrants action")
	}
	from, to, next, err := kmsPage(len(all[i].Grants), in.Marker, in.Limit, 50, 100)
	if err != nil {
		return nil, err
	}
	return &kms.ListGrantsOutput{Grants: all[i].Grants[from:to], NextMarker: next, Truncated: next != nil}, nil
}

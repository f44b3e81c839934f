package awsfake

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
)

var stsOperations = map[string]operation{
	"sts:AssumeRole":        {run: bind(reads, assumeRole).run, needs: assumeNeeds},
	"sts:GetCallerIdentity": {run: bind(reads, getCallerIdentity).run, needs: noNeeds},
}

// "No permissions are required to perform this operation", even under an explicit
// Deny: GetCallerIdentity (STS API Reference).
func noNeeds(*request, any) []need { return nil }

func getCallerIdentity(k *request, _ *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
	s := k.caller
	id := s.roleID + ":" + s.name
	switch {
	case s.admin:
		id = s.account.id
	case s.userName != "":
		id = s.userID
	}
	return &sts.GetCallerIdentityOutput{Account: aws.String(s.account.id), Arn: aws.String(s.arn), UserId: aws.String(id)}, nil
}

// assumeNeeds names the role for the log; assumeRole checks, since trust counts too.
func assumeNeeds(_ *request, in any) []need {
	return []need{{action: "sts:AssumeRole", resource: field(in, "RoleArn"), inHandler: true}}
}

// describe fills in what an AssumeRole call asks for.
func describe(call *Call, in any) {
	ar, ok := in.(*sts.AssumeRoleInput)
	if !ok {
		return
	}
	call.SessionPolicy, call.RoleSessionName, call.SourceIdentity = aws.ToString(ar.Policy), aws.ToString(ar.RoleSessionName), aws.ToString(ar.SourceIdentity)
	call.Tags = sessionTags(ar.Tags)
}

func sessionTags(tags []ststypes.Tag) map[string]string {
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		m[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return m
}

// "The regex used to validate this parameter … [\w+=,.@-]*", 2 to 64 characters:
// RoleSessionName and SourceIdentity of AssumeRole (STS API Reference).
var sessionWord = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

// tagValue is the pattern of a session tag's value, which takes no comma:
// https://docs.aws.amazon.com/STS/latest/APIReference/API_Tag.html
var tagValue = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]{0,256}$`)

// assumeRole follows AssumeRole in the STS API Reference.
func assumeRole(k *request, in *sts.AssumeRoleInput) (*sts.AssumeRoleOutput, error) {
	c, arn, name := k.c, aws.ToString(in.RoleArn), aws.ToString(in.RoleSessionName)
	if !sessionWord.MatchString(name) {
		return nil, constraint(name, "roleSessionName", `Member must satisfy regular expression pattern: [\w+=,.@-]* and have length between 2 and 64`)
	}
	source := aws.ToString(in.SourceIdentity)
	if in.SourceIdentity != nil && !sessionWord.MatchString(source) {
		return nil, constraint(source, "sourceIdentity", `Member must satisfy regular expression pattern: [\w+=,.@-]* and have length between 2 and 64`)
	}
	parsed, err := sessionPolicy(in.Policy)
	if err != nil {
		return nil, err
	}
	// "Role chaining limits your session to a maximum of one hour": the executor, too, is a role.
	seconds := aws.ToInt32(in.DurationSeconds)
	switch {
	case in.DurationSeconds == nil:
		seconds = 3600
	case seconds < 900 || seconds > 43200:
		return nil, validation("1 validation error detected: Value '%d' at 'durationSeconds' failed to satisfy constraint: Member must be between 900 and 43200", seconds)
	case seconds > 3600 && !k.caller.admin && k.caller.userName == "":
		return nil, validation("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
	}
	tags, transitive, err := chainTags(k.caller, in)
	if err != nil {
		return nil, err
	}
	packed := k.c.packed(aws.ToString(in.Policy), tags)
	if packed > 100 {
		return nil, &ststypes.PackedPolicyTooLargeException{Message: aws.String("Packed policy consumes " + strconv.Itoa(int(packed)) + "% of allotted space, please use smaller policy.")}
	}
	// "Source identity … persists across chained role sessions" and can't be changed
	// ("Monitor and control actions taken with assumed roles", IAM User Guide).
	inherited := k.caller.sourceIdentity
	if inherited != "" && source != "" && source != inherited {
		return nil, k.denied("sts:SetSourceIdentity", arn, "")
	}
	source = or(source, inherited)

	// AWS doesn't tell a role that isn't there from one that doesn't trust the caller.
	role, account := c.roleByARN(arn, k.now)
	if role == nil {
		return nil, k.denied("sts:AssumeRole", arn, "")
	}
	if !k.caller.admin {
		if err := k.mayAssume(role, account, in, source, tags, transitive); err != nil {
			return nil, err
		}
	}
	if limit := role.MaxSession; time.Duration(seconds)*time.Second > limit {
		return nil, validation("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	s := c.issue(issueInput{account: account, role: role, name: name, duration: time.Duration(seconds) * time.Second,
		policy: aws.ToString(in.Policy), parsed: parsed, sourceIdentity: source, tags: tags, transitive: transitive})
	return &sts.AssumeRoleOutput{
		AssumedRoleUser: &ststypes.AssumedRoleUser{Arn: aws.String(s.arn), AssumedRoleId: aws.String(role.ID + ":" + name)},
		Credentials:     &ststypes.Credentials{AccessKeyId: aws.String(s.keyID), SecretAccessKey: aws.String(s.secret), SessionToken: aws.String(s.token), Expiration: aws.Time(s.expires)},
		SourceIdentity:  emptyNil(source), SessionTokenUtilization: &packed,
	}, nil
}

func constraint(value, at, rule string) error {
	return validation("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: %s", value, at, rule)
}

// "The plaintext that you use for both inline and managed session policies can't
// exceed 2,048 characters."
const maxSessionPolicy = 2048

// LimitPacked makes AssumeRole refuse a session policy and session tags, inherited ones too, that
// take more than so many characters together; 0 is no limit. AWS "compresses the passed inline
// session policy, managed policy ARNs, and session tags into a packed binary format that has a
// separate limit": it publishes neither. Here the plain text stands for that form.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
func (c *Cloud) LimitPacked(characters int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.packedLimit = characters
}

// packed is SessionTokenUtilization, in percent; PackedPolicySize is deprecated.
func (c *Cloud) packed(policy string, tags map[string]string) int32 {
	n := utf8.RuneCountInString(policy)
	for key, v := range tags {
		n += utf8.RuneCountInString(key + v)
	}
	if c.packedLimit == 0 {
		return 0
	}
	return int32((100*n + c.packedLimit - 1) / c.packedLimit)
}

func sessionPolicy(doc *string) (*policy, error) {
	if doc == nil {
		return nil, nil
	}
	if n := utf8.RuneCountInString(*doc); n > maxSessionPolicy {
		return nil, &ststypes.PackedPolicyTooLargeException{Message: aws.String("Packed policy consumes " + strconv.Itoa(100*n/maxSessionPolicy) + "% of allotted space, please use smaller policy.")}
	}
	p, err := parsePolicy(*doc, identityPolicy)
	if err != nil {
		return nil, &ststypes.MalformedPolicyDocumentException{Message: aws.String(err.Error())}
	}
	return p, nil
}

// chainTags joins the new session tags with the caller's transitive ones: "Pass
// session tags in AWS STS: chaining roles with session tags" (IAM User Guide).
func chainTags(caller *session, in *sts.AssumeRoleInput) (map[string]string, []string, error) {
	if len(in.Tags) > 50 {
		return nil, nil, validation("1 validation error detected: Value at 'tags' failed to satisfy constraint: Member must have length less than or equal to 50")
	}
	seen := map[string]bool{}
	for _, t := range in.Tags {
		key := strings.ToLower(aws.ToString(t.Key))
		if v := aws.ToString(t.Value); !tagValue.MatchString(v) {
			return nil, nil, constraint(v, "tags.member.value", `Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]*`)
		}
		if seen[key] {
			return nil, nil, apiError("InvalidParameterValue", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		seen[key] = true
	}
	tags, transitive := sessionTags(in.Tags), slices.Clone(in.TransitiveTagKeys)
	for _, key := range caller.transitive {
		if seen[strings.ToLower(key)] {
			return nil, nil, apiError("InvalidParameterValue", "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
		}
		tags[key] = caller.tags[key]
		transitive = append(transitive, key)
	}
	return tags, transitive, nil
}

// mayAssume checks both sides: the caller's policies and the role's trust policy.
// Within one account a trust policy that names the caller's very ARN is enough
// ("Cross-account policy evaluation logic"; "Resource-based policies: role sessions").
// Tags need sts:TagSession and a source identity needs sts:SetSourceIdentity, on both sides too.
func (k *request) mayAssume(role *Role, account *Account, in *sts.AssumeRoleInput, source string, tags map[string]string, transitive []string) error {
	keys := k.c.keys(k.caller, k.now, role.ARN)
	keys.set("sts:RoleSessionName", aws.ToString(in.RoleSessionName))
	if in.ExternalId != nil {
		keys.set("sts:ExternalId", *in.ExternalId)
	}
	if source != "" {
		keys.set("sts:SourceIdentity", source)
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		keys.set("aws:RequestTag/"+key, tags[key])
		keys.add("aws:TagKeys", key)
	}
	if len(transitive) > 0 {
		keys.set("sts:TransitiveTagKeys", transitive...)
	}
	actions := []string{"sts:AssumeRole"}
	if len(tags) > 0 {
		actions = append(actions, "sts:TagSession")
	}
	if source != "" {
		actions = append(actions, "sts:SetSourceIdentity")
	}
	trust, err := parsePolicy(role.Trust, trustPolicy)
	if err != nil {
		return k.denied("sts:AssumeRole", role.ARN, "")
	}
	layers := k.c.layers(k.caller, k.now)
	for _, action := range actions {
		q := query{action, role.ARN, keys}
		if action != "sts:AssumeRole" { // of the three, AssumeRole alone has these keys ("Actions, resources, and condition keys for AWS Security Token Service", Service Authorization Reference)
			q.keys = maps.Clone(keys)
			delete(q.keys, "sts:externalid")
			delete(q.keys, "sts:rolesessionname")
		}
		trusted, named := trust.trusts(k.caller, k.caller.principalARN(k.now), q)
		if !trusted {
			return k.denied(action, role.ARN, "")
		}
		why := decide(layers, q)
		if why != "" && (strings.HasPrefix(why, "with an explicit deny") || !named || account != k.caller.account) {
			return k.denied(action, role.ARN, why)
		}
	}
	return nil
}

// trusts evaluates a trust policy for the caller; named tells that a statement
// names the caller's own ARN rather than its account. Only AWS principals can
// call here ("IAM JSON policy elements: Principal").
func (p *policy) trusts(caller *session, roleARN string, q query) (trusted, named bool) {
	for _, s := range p.Statement {
		if !s.covers(q) || !s.holds(q) {
			continue
		}
		in, exact := s.admits(caller, roleARN)
		switch {
		case in && s.Effect == "Deny":
			return false, false
		case in:
			trusted, named = true, named || exact
		}
	}
	return trusted, named
}

func (s *statement) admits(caller *session, roleARN string) (in, exact bool) {
	if s.Principal == nil { // NotPrincipal isn't modelled: fail closed
		return s.Effect == "Deny", false
	}
	if s.Principal.Any {
		return true, false
	}
	for _, v := range s.Principal.Type["AWS"] {
		switch v {
		case "*", caller.account.id, caller.account.c.arn("iam", caller.account.id, "root"):
			in = true
		case roleARN, caller.arn:
			in, exact = true, true
		}
	}
	return in, exact
}

func emptyNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

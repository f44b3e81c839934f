package awsfake

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// session is who a set of credentials stands for.
type session struct {
	admin                bool // root of the account, for setting up
	account              *Account
	roleName, roleID     string
	userName, userID     string // of a user's session, which has no role
	longTerm             bool   // a user's access key
	name, arn            string // of the session
	keyID, secret, token string
	issued, expires      time.Time
	policy               string // the session policy, "" for none
	parsed               *policy
	sourceIdentity       string
	tags                 map[string]string
	transitive           []string
}

type issueInput struct {
	account        *Account
	role           *Role
	name           string
	duration       time.Duration
	policy         string
	parsed         *policy
	sourceIdentity string
	tags           map[string]string
	transitive     []string
}

// issue makes credentials for a role session. Temporary keys start with ASIA
// ("IAM identifiers: understanding unique ID prefixes", IAM User Guide).
func (c *Cloud) issue(in issueInput) *session {
	now := c.now()
	s := &session{
		account: in.account, roleName: in.role.Name, roleID: in.role.ID, name: in.name,
		arn:   c.arn("sts", in.account.id, "assumed-role/"+in.role.Name+"/"+in.name),
		keyID: c.mint("ASIA", 16), secret: c.mint("secret", 40), token: c.mint("FwoGZXIvYXdz", 52),
		issued: now, policy: in.policy, parsed: in.parsed,
		sourceIdentity: in.sourceIdentity, tags: in.tags, transitive: in.transitive,
	}
	if in.duration > 0 {
		s.expires = now.Add(in.duration)
	}
	c.sessions[s.keyID] = s
	return s
}

var credentialField = regexp.MustCompile(`Credential=([^/,\s]+)/`)

var signedScope = regexp.MustCompile(`Credential=[^/,\s]+/[0-9]{8}/([a-z0-9-]+)/`)

// signedRegion is the region of the SigV4 header's credential scope.
func signedRegion(req *smithyhttp.Request) string {
	m := signedScope.FindStringSubmatch(req.Header.Get("Authorization"))
	if m == nil {
		return ""
	}
	return m[1]
}

// authenticate finds the caller by the access key of the SigV4 header
// ("Authentication methods", AWS Signature Version 4). Signatures aren't checked.
func (c *Cloud) authenticate(req *smithyhttp.Request, now time.Time) (*session, error) {
	m := credentialField.FindStringSubmatch(req.Header.Get("Authorization"))
	if m == nil {
		return nil, apiError("MissingAuthenticationToken", "Request is missing Authentication Token")
	}
	s, ok := c.sessions[m[1]]
	if !ok || s.token != req.Header.Get("X-Amz-Security-Token") {
		return nil, apiError("InvalidClientTokenId", "The security token included in the request is invalid.")
	}
	if s.admin {
		return s, nil
	}
	if err := s.alive(now); err != nil {
		return nil, err
	}
	if s.userName != "" {
		s.account.lastUsed[s.keyID] = now
	} else {
		s.account.lastUsed[s.roleID] = now
	}
	return s, nil
}

// alive says whether the credentials are still good: not expired, and of a role
// that has not been deleted (a re-created one has another ID).
func (s *session) alive(now time.Time) error {
	if s.userName != "" {
		return s.userAlive(now)
	}
	if r := s.account.roles[s.roleName].seen(now); r == nil || r.ID != s.roleID {
		return apiError("InvalidClientTokenId", "The security token included in the request is invalid.")
	}
	if !s.expires.IsZero() && !now.Before(s.expires) {
		return apiError("ExpiredToken", "The security token included in the request is expired")
	}
	return nil
}

// layers are the session's policies as they have propagated: identity policies,
// permissions boundary, session policy ("Policies and permissions in IAM: policy types").
func (c *Cloud) layers(s *session, now time.Time) []layer {
	if s.userName != "" {
		return c.userLayers(s, now)
	}
	role := s.account.roles[s.roleName].seen(now)
	identity := layer{kind: "an identity-based policy"}
	for _, name := range slices.Sorted(maps.Keys(role.Inline)) {
		if p, err := parsePolicy(role.Inline[name], identityPolicy); err == nil { // checked when written
			identity.policies = append(identity.policies, p)
		}
	}
	for _, arn := range role.Attached {
		if p, err := parsePolicy(c.policies[arn], identityPolicy); err == nil {
			identity.policies = append(identity.policies, p)
		}
	}
	ls := []layer{identity}
	if role.Boundary != "" {
		l := layer{kind: "a permissions boundary"}
		if p, err := parsePolicy(c.policies[role.Boundary], identityPolicy); err == nil {
			l.policies = append(l.policies, p)
		}
		ls = append(ls, l)
	}
	if s.parsed != nil {
		ls = append(ls, layer{kind: "a session policy", policies: []*policy{s.parsed}})
	}
	return append(c.guardrails(s.account.id, role, now), ls...)
}

// keys are the condition keys that tell about the caller, the time and the resource.
func (c *Cloud) keys(s *session, now time.Time, resource string) contextKeys {
	k := contextKeys{}
	k.set("aws:CurrentTime", now.UTC().Format(time.RFC3339))
	k.set("aws:EpochTime", strconv.FormatInt(now.Unix(), 10))
	k.set("aws:PrincipalAccount", s.account.id)
	if c.org != nil && c.org.accounts[s.account.id].ID != "" {
		k.set("aws:PrincipalOrgID", c.org.id)
	}
	if parts := strings.SplitN(resource, ":", 6); len(parts) == 6 && c.org != nil && c.org.accounts[parts[4]].ID != "" {
		k.set("aws:ResourceOrgID", c.org.id) // absent for what belongs to an account in no organization
	}
	if s.userName != "" {
		userKeys(s, now, k)
	} else {
		// When the temporary credentials were issued, in whole seconds; long-term keys have none.
		k.set("aws:TokenIssueTime", s.issued.UTC().Format(time.RFC3339))
		k.set("aws:PrincipalType", "AssumedRole")
		k.set("aws:userid", s.roleID+":"+s.name)
		role := s.account.roles[s.roleName].seen(now)
		k.set("aws:PrincipalArn", role.ARN) // "the ARN of the role, not of the session"
		for key, v := range role.Tags {
			k.set("aws:PrincipalTag/"+key, v)
		}
	}
	for key, v := range s.tags { // "session tags override"
		k.set("aws:PrincipalTag/"+key, v)
	}
	if s.sourceIdentity != "" {
		k.set("aws:SourceIdentity", s.sourceIdentity)
	}
	if r, a := c.roleByARN(resource, now); r != nil {
		k.set("aws:ResourceAccount", a.id)
		for key, v := range r.Tags {
			k.set("aws:ResourceTag/"+key, v)
			k.set("iam:ResourceTag/"+key, v)
		}
	}
	if u, a := c.userByARN(resource, now); u != nil {
		k.set("aws:ResourceAccount", a.id)
		for key, v := range u.Tags {
			k.set("aws:ResourceTag/"+key, v)
			k.set("iam:ResourceTag/"+key, v)
		}
	}
	if p := c.scpByARN(resource, now); p != nil {
		// Of Organizations' resources policies have the key, and accounts, whose tags are not modelled: a
		// condition on it fails for every account. Whether AWS sees a new tag at once is not documented, so the strictest.
		// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsorganizations.html#awsorganizations-resources-for-iam-policies
		for key, v := range p.Tags {
			k.set("aws:ResourceTag/"+key, v)
		}
	}
	return k
}

// roleByARN finds a role as it has propagated.
func (c *Cloud) roleByARN(arn string, now time.Time) (*Role, *Account) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || c.accounts[parts[4]] == nil {
		return nil, nil
	}
	a := c.accounts[parts[4]]
	if r := a.roles[arn[strings.LastIndex(arn, "/")+1:]].seen(now); r != nil && r.ARN == arn {
		return r, a
	}
	return nil, nil
}

// authorise checks what a call needs against the caller's policies.
func (k *request) authorise(needs []need, in any) error {
	layers := k.c.layers(k.caller, k.now)
	for _, n := range needs {
		if n.inHandler {
			continue
		}
		keys := k.c.keys(k.caller, k.now, n.resource)
		requestKeys(in, keys)
		if b := k.boundaryKey(in); b != "" {
			keys.set("iam:PermissionsBoundary", b)
		}
		maps.Copy(keys, n.keys)
		if n.passed {
			// "iam:PassedToService: the service principal of the service to which a role can be passed".
			// For AddRoleToInstanceProfile it is EC2, too: policies that AWS publishes rest on it (Karpenter's
			// AllowPassingInstanceRole, https://karpenter.sh/docs/reference/cloudformation/).
			keys.set("iam:PassedToService", k.c.ec2Service())
		}
		if why := decide(layers, query{n.action, n.resource, keys}); why != "" {
			return k.denied(n.action, n.shown, why)
		}
	}
	return nil
}

func (k *request) denied(action, resource, why string) error {
	switch {
	case strings.HasPrefix(k.op, "ec2:"): // EC2 has a code of its own, whichever permission is missing
		return apiError("UnauthorizedOperation", "You are not authorized to perform this operation. %s", denial(k.caller.arn, action, resource, why))
	case strings.HasPrefix(k.op, "organizations:"), strings.HasPrefix(k.op, "cloudtrail:"), strings.HasPrefix(k.op, "guardduty:"), strings.HasPrefix(k.op, "kms:"): // services that speak JSON name the exception
		return apiError("AccessDeniedException", "%s", denial(k.caller.arn, action, resource, why))
	}
	return apiError("AccessDenied", "%s", denial(k.caller.arn, action, resource, why))
}

// denial is AWS's sentence: "Troubleshoot access denied error messages" (IAM User Guide).
func denial(who, action, resource, why string) string {
	return strings.TrimSpace(fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s %s", who, action, resource, why))
}

// ec2Service is EC2 as a principal.
// https://docs.amazonaws.cn/en_us/aws/latest/userguide/iam.html
func (c *Cloud) ec2Service() string {
	if c.partition == "aws-cn" {
		return "ec2.amazonaws.com.cn"
	}
	return "ec2.amazonaws.com"
}

// A Session is a set of a role's or user's credentials in an attacker's hands.
type Session struct {
	c     *Cloud
	s     *session
	extra map[string]string
}

// Session issues credentials of the role now, unasked and unlogged, that last
// until the role is deleted. It panics when there is no such role.
func (c *Cloud) Session(roleARN, name string) *Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	parts := strings.SplitN(roleARN, ":", 6)
	if len(parts) == 6 && c.accounts[parts[4]] != nil {
		a := c.accounts[parts[4]]
		if r := a.roles[roleARN[strings.LastIndex(roleARN, "/")+1:]].current(); r != nil && r.ARN == roleARN {
			return &Session{c: c, s: c.issue(issueInput{account: a, role: r, name: name})}
		}
	}
	panic("awsfake: Session: no role " + roleARN)
}

// With is the same session asking from elsewhere: Can then sees the condition key,
// "ec2:SourceInstanceARN" for one.
func (s *Session) With(key, value string) *Session {
	n := *s
	n.extra = maps.Clone(s.extra)
	if n.extra == nil {
		n.extra = map[string]string{}
	}
	n.extra[key] = value
	return &n
}

// ExpireAt makes the credentials expire then, as what AWS hands out does.
func (s *Session) ExpireAt(t time.Time) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.s.expires = t
}

// Can says whether the session may still do action on resource, and if not, why,
// in AWS's words.
func (s *Session) Can(action, resource string) (bool, string) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if err := s.s.alive(now); err != nil {
		return false, err.Error()
	}
	keys := c.keys(s.s, now, resource)
	for k, v := range s.extra {
		keys.set(k, v)
	}
	if why := decide(c.layers(s.s, now), query{action, resource, keys}); why != "" {
		return false, denial(s.s.arn, action, resource, why)
	}
	return true, ""
}

// SessionOf is the session that AssumeRole gave an access key to. It panics for a key that it gave to nobody.
func (c *Cloud) SessionOf(key string) *Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sessions[key] == nil {
		panic("awsfake: SessionOf: nobody has the key " + key)
	}
	return &Session{c: c, s: c.sessions[key]}
}

// Config acts as the session, calls being authorised and logged like all others.
func (s *Session) Config() aws.Config { return s.c.ConfigAs(s.s.provider()) }

// ARN is the session's principal ARN.
func (s *Session) ARN() string { return s.s.arn }

// AccessKeyID is the session's ASIA… key.
func (s *Session) AccessKeyID() string { return s.s.keyID }

// Issued is the session's aws:TokenIssueTime.
func (s *Session) Issued() time.Time { return s.s.issued }

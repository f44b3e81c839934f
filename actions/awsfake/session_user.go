package awsfake

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// userOf is the IAM user that a session is of, as it has propagated; nil where
// it was deleted (a re-created one has another ID), and for roles' sessions.
func (s *session) userOf(now time.Time) *User {
	if u := s.account.users[s.userName].seen(now); u != nil && u.ID == s.userID {
		return u
	}
	return nil
}

// userAlive says whether a user's credentials are still good. Those of
// GetSessionToken outlive their key's deactivation, as all sessions do.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_control-access_disable-perms.html
func (s *session) userAlive(now time.Time) error {
	invalid := apiError("InvalidClientTokenId", "The security token included in the request is invalid.")
	u := s.userOf(now)
	if u == nil {
		return invalid
	}
	usable := func(a AccessKey) bool { return a.ID == s.keyID && !a.Inactive }
	if s.longTerm && !slices.ContainsFunc(u.Keys, usable) {
		return invalid
	}
	if !s.expires.IsZero() && !now.Before(s.expires) {
		return apiError("ExpiredToken", "The security token included in the request is expired")
	}
	return nil
}

// userLayers are a user's policies and those of its groups.
func (c *Cloud) userLayers(s *session, now time.Time) []layer {
	u := s.userOf(now)
	identity := layer{kind: "an identity-based policy"}
	add := func(inline map[string]string, attached []string) {
		docs := []string{}
		for _, name := range slices.Sorted(maps.Keys(inline)) {
			docs = append(docs, inline[name])
		}
		for _, arn := range attached {
			docs = append(docs, c.policies[arn])
		}
		for _, doc := range docs {
			if p, err := parsePolicy(doc, identityPolicy); err == nil { // checked when written
				identity.policies = append(identity.policies, p)
			}
		}
	}
	add(u.Inline, u.Attached)
	for _, name := range u.Groups {
		if g := s.account.groups[name].seen(now); g != nil {
			add(g.Inline, g.Attached)
		}
	}
	ls := []layer{identity}
	if u.Boundary != "" {
		l := layer{kind: "a permissions boundary"}
		if p, err := parsePolicy(c.policies[u.Boundary], identityPolicy); err == nil {
			l.policies = append(l.policies, p)
		}
		ls = append(ls, l)
	}
	if s.parsed != nil {
		ls = append(ls, layer{kind: "a session policy", policies: []*policy{s.parsed}})
	}
	return append(c.guardrails(s.account.id, &Role{Path: u.Path}, now), ls...)
}

// userKeys are the condition keys that tell about a user as the caller. A
// long-term key has no aws:TokenIssueTime: "AWS global condition context keys".
func userKeys(s *session, now time.Time, k contextKeys) {
	u := s.userOf(now)
	if !s.longTerm {
		k.set("aws:TokenIssueTime", s.issued.UTC().Format(time.RFC3339))
	}
	k.set("aws:PrincipalType", "User")
	k.set("aws:userid", u.ID)
	k.set("aws:PrincipalArn", u.ARN)
	for key, v := range u.Tags {
		k.set("aws:PrincipalTag/"+key, v)
	}
}

// userByARN finds a user as it has propagated.
func (c *Cloud) userByARN(arn string, now time.Time) (*User, *Account) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || c.accounts[parts[4]] == nil {
		return nil, nil
	}
	a := c.accounts[parts[4]]
	if u := a.users[arn[strings.LastIndex(arn, "/")+1:]].seen(now); u != nil && u.ARN == arn {
		return u, a
	}
	return nil, nil
}

// principalARN is the ARN of the role or user that a session is of.
func (s *session) principalARN(now time.Time) string {
	if u := s.userOf(now); u != nil {
		return u.ARN
	}
	return s.account.roles[s.roleName].seen(now).ARN
}

// KeySession is a user's long-term access key in an attacker's hands. It panics
// when no user has the key.
func (c *Cloud) KeySession(keyID string) *Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.accounts {
		for _, h := range a.users {
			u := h.current()
			if u == nil || !slices.ContainsFunc(u.Keys, func(k AccessKey) bool { return k.ID == keyID }) {
				continue
			}
			s := &session{account: a, userName: u.Name, userID: u.ID, name: u.Name, arn: u.ARN, keyID: keyID, secret: "secret of " + keyID, longTerm: true}
			c.sessions[keyID] = s
			return &Session{c: c, s: s}
		}
	}
	panic("awsfake: KeySession: no user has the key " + keyID)
}

// sessionTokenPolicy is what a GetSessionToken session without MFA may not do:
// "You cannot call any IAM API operations unless MFA authentication information
// is included in the request. You cannot call any STS API except AssumeRole or
// GetCallerIdentity." https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html
const sessionTokenPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","NotAction":["iam:*","sts:*"],"Resource":"*"},{"Effect":"Allow","Action":["sts:AssumeRole","sts:GetCallerIdentity"],"Resource":"*"}]}`

// SessionToken is what GetSessionToken gives to the holder of a user's key now,
// for 36 hours. It panics for a session.
func (s *Session) SessionToken() *Session {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if !s.s.longTerm {
		panic("awsfake: SessionToken: not a long-term key")
	}
	parsed, err := parsePolicy(sessionTokenPolicy, identityPolicy)
	if err != nil {
		panic(err)
	}
	n := *s.s
	n.longTerm, n.parsed, n.policy = false, parsed, sessionTokenPolicy
	n.keyID, n.secret, n.token = c.mint("ASIA", 16), c.mint("secret", 40), c.mint("FwoGZXIvYXdz", 52)
	n.issued = c.now()
	n.expires = n.issued.Add(36 * time.Hour)
	c.sessions[n.keyID] = &n
	return &Session{c: c, s: &n}
}

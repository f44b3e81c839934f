package approvals

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"strconv"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
)

// Statement is what somebody says at the command line. It is signed as a whole, in clear: whoever signs
// it knows for which call.
type Statement struct {
	Version      int    `json:"version"`
	Installation string `json:"installation"` // as [Installation]
	Verb         string `json:"verb"`         // request, approve, break_glass, deny, cancel, undo, show or list
	Request      string `json:"request,omitempty"`
	Digest       string `json:"digest,omitempty"` // of the call that is approved
	Call         string `json:"call,omitempty"`   // the intent, as a card shows it
	// Why is the reason; of an approval it is the requester and the reason, as a card shows them.
	Why string `json:"why,omitempty"`
	// Account is the target's, typed by who acts alone.
	Account string `json:"account,omitempty"`
}

// Asks reports whether a statement makes a request of its own, with the ID that [RequestID] gives it.
func (s Statement) Asks() bool { return s.Verb == "request" || s.Verb == "undo" }

// MaxWhy is how long Why may be: a reason, and who has it.
const MaxWhy = actions.MaxReason + 100

// StatementVersion is the version of statements that this program makes and takes.
const StatementVersion = 1

// Installation names an installation: a statement for one is none for another.
func Installation(hub, team string) string { return hub + "/" + team }

// Encode writes a statement as it is signed.
func (s Statement) Encode() string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// SignedStatement is a request to sts:GetCallerIdentity that somebody signed, in its parts: what
// stands between them is fixed, so that one signature has one text. The statement is a header of it.
type SignedStatement struct {
	Region    string `json:"region"`
	Date      string `json:"date"`            // X-Amz-Date
	KeyID     string `json:"key_id"`          // of the access key
	Token     string `json:"token,omitempty"` // of a session
	Statement string `json:"statement"`       // encoded
	Signature string `json:"signature"`
}

// SignedDate is the form of Date.
const SignedDate = "20060102T150405Z"

// maxSigned is the longest signed statement. AWS says that the size of a session token is not fixed.
const maxSigned = 32 << 10

var (
	regionName   = actions.NewPattern(`^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$`)
	accessKeyID  = actions.NewPattern(`^[A-Z0-9]{16,128}$`)
	sessionToken = actions.NewPattern(`^[A-Za-z0-9+/=]*$`)
	signature    = actions.NewPattern(`^[0-9a-f]{64}$`)
	callDigest   = actions.NewPattern(`^[A-Za-z0-9_-]{0,128}$`)
)

// ReadSigned reads a signed statement, of which nothing is proved yet. It returns an *[actions.Refusal]
// for anything that is not written as [Statement.Encode] and JSON write it.
func ReadSigned(body []byte) (SignedStatement, Statement, error) {
	var s SignedStatement
	var st Statement
	if len(body) > maxSigned || readStrictly(body, &s) != nil {
		return s, st, Unproven("it is not a signed statement")
	}
	date, err := time.Parse(SignedDate, s.Date)
	said, notText := base64.RawURLEncoding.Strict().DecodeString(s.Statement)
	switch {
	case err != nil || date.Format(SignedDate) != s.Date, !regionName.MatchString(s.Region), !accessKeyID.MatchString(s.KeyID),
		!sessionToken.MatchString(s.Token), !signature.MatchString(s.Signature):
		return s, st, Unproven("it is not a signed statement")
	case notText != nil || readStrictly(said, &st) != nil || st.Encode() != s.Statement:
		return s, st, Unproven("what was signed is not a statement")
	case st.Version != StatementVersion:
		return s, st, Unproven("it is of version %d; this one takes %d", st.Version, StatementVersion)
	case st.Request != "" && !IsRequestID(st.Request), st.Account != "" && !actions.AccountID.MatchString(st.Account), !callDigest.MatchString(st.Digest), actions.Clean(st.Call) != st.Call, actions.Clean(st.Why) != st.Why,
		len([]rune(st.Why)) > MaxWhy:
		return s, st, Unproven("what was signed is not a statement")
	}
	if _, secret := actions.WithoutSecrets(st.Why); secret {
		return s, st, Unproven("why has what looks like a secret access key: whoever saw it can use it")
	}
	return s, st, nil
}

func readStrictly(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// Evidence returns a signed statement as evidence. Its key is the hash of what was signed and of the
// signature: one evidence, whatever the text that it came in.
func (s SignedStatement) Evidence() Evidence {
	body, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings always marshal
	}
	date, _ := time.Parse(SignedDate, s.Date)
	return Evidence{Kind: STSEvidence, Timestamp: strconv.FormatInt(date.Unix(), 10), Signature: s.Signature, Body: string(body)}
}

// Statement reads a signed statement that was kept as evidence, of which nothing is proved yet. It must be kept
// as [SignedStatement.Evidence] writes it: its time is the signed one, and one signature is one evidence.
// It returns an *[actions.Refusal] for anything else.
func (e Evidence) Statement() (SignedStatement, Statement, error) {
	s, st, err := ReadSigned([]byte(e.Body))
	if err == nil && e != s.Evidence() {
		err = Unproven("it is not a signed statement as it came")
	}
	return s, st, err
}

// Package sts signs statements by AWS credentials, and finds out who signed one: by a request to
// sts:GetCallerIdentity, which AWS answers for whoever signed it. The statement is a signed header of
// the request. Signer and verifier build the request from the same parts, so that nothing else can be in it.
//
// What it learns from HashiCorp Vault (CVE-2020-16250): who sends evidence chooses neither host nor
// path, neither headers nor the format of the answer, and the answer is read strictly.
package sts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// header carries the statement.
const header = "X-Killswitch-Statement"

const (
	form = "Action=GetCallerIdentity&Version=2011-06-15"
	kind = "application/x-www-form-urlencoded; charset=utf-8"
	// Fresh is how old a signature may be when it is received.
	Fresh = 5 * time.Minute
	// answerWithin is how long AWS may take, and maxAnswer how much it may say.
	answerWithin = 5 * time.Second
	maxAnswer    = 16 << 10
)

// Sign signs a statement. The region's endpoint is the one that is asked who signed it.
func Sign(ctx context.Context, creds aws.Credentials, region string, st approvals.Statement, now time.Time) (approvals.SignedStatement, error) {
	s := approvals.SignedStatement{Region: region, Date: now.UTC().Format(approvals.SignedDate), KeyID: creds.AccessKeyID, Token: creds.SessionToken, Statement: st.Encode()}
	req, err := request(ctx, s)
	if err != nil {
		return s, err
	}
	sum := sha256.Sum256([]byte(form))
	if err := v4.NewSigner().SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), "sts", region, now.UTC()); err != nil {
		return s, err
	}
	signed := req.Header.Get("Authorization")
	s.Signature = signed[strings.LastIndexByte(signed, '=')+1:]
	if signed != authorization(s) {
		return s, fmt.Errorf("the signer signs other headers than %s", signedHeaders(s))
	}
	return s, nil
}

// host is the endpoint of a region.
// https://docs.aws.amazon.com/general/latest/gr/sts.html
func host(region string) string {
	if actions.PartitionOf(region) == "aws-cn" {
		return "sts." + region + ".amazonaws.com.cn"
	}
	return "sts." + region + ".amazonaws.com"
}

// request builds the request without its signature.
func request(ctx context.Context, s approvals.SignedStatement) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+host(s.Region)+"/", strings.NewReader(form))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("X-Amz-Date", s.Date)
	if s.Token != "" {
		req.Header.Set("X-Amz-Security-Token", s.Token)
	}
	req.Header.Set(header, s.Statement)
	return req, nil
}

// signedHeaders are always the same.
func signedHeaders(s approvals.SignedStatement) string {
	names := []string{"content-length", "content-type", "host", "x-amz-date", "x-amz-security-token", strings.ToLower(header)}
	if s.Token == "" {
		names = slices.Delete(names, 4, 5)
	}
	return strings.Join(names, ";")
}

// authorization is the header of a signature.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func authorization(s approvals.SignedStatement) string {
	return fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s/%s/sts/aws4_request, SignedHeaders=%s, Signature=%s", s.KeyID, s.Date[:8], s.Region, signedHeaders(s), s.Signature)
}

// Identity is a principal as AWS tells it.
type Identity struct {
	ARN    string // of a user, or of a session
	UserID string
}

// Verifier asks AWS who signed a statement.
type Verifier struct {
	Regions      []string // whose endpoints are asked
	Partition    string
	Accounts     []string // where people's identities are
	Installation string
	Client       *http.Client // nil: one without proxies of its own, and without redirects
	Endpoint     string       // takes the requests in place of AWS; empty: AWS
	Now          func() time.Time
}

// Identify returns who signed a statement. It returns an *[actions.Refusal] if nobody who counts did, and
// another error if AWS does not answer.
func (v Verifier) Identify(ctx context.Context, s approvals.SignedStatement, st approvals.Statement) (Identity, error) {
	at, err := time.Parse(approvals.SignedDate, s.Date)
	age := v.Now().Sub(at)
	switch {
	case err != nil || age > Fresh || age < -approvals.ClockSkew:
		return Identity{}, approvals.Unproven("it was signed %s, not within %s: is your clock right?", at.Format("2006-01-02 15:04:05 UTC"), Fresh)
	case st.Installation != v.Installation:
		return Identity{}, approvals.Unproven("it is for another installation")
	case !slices.Contains(v.Regions, s.Region):
		return Identity{}, approvals.Unproven("it is for a region that aws.regions does not name")
	}
	id, err := v.ask(ctx, s)
	if err != nil {
		return id, err
	}
	return id, v.check(id)
}

// check refuses who is not a person: only users, and sessions of IAM Identity Center, in the accounts
// of identities.
func (v Verifier) check(id Identity) error {
	if partition, account, _, _, ok := actions.SplitUserARN(id.ARN); ok {
		if partition != v.Partition || !slices.Contains(v.Accounts, account) {
			return approvals.Unproven("%s is not in an account of identities (aws.identity_accounts)", actions.Clip(id.ARN))
		}
		return nil
	}
	parts := strings.SplitN(id.ARN, ":", 6)
	if len(parts) == 6 && parts[1] == v.Partition && parts[2] == "sts" && slices.Contains(v.Accounts, parts[4]) {
		if role, session, ok := strings.Cut(strings.TrimPrefix(parts[5], "assumed-role/"), "/"); ok && strings.HasPrefix(parts[5], "assumed-role/") && session != "" && actions.IsReservedSSO(role) {
			return nil
		}
	}
	return approvals.Unproven("%s is neither a user nor a session of IAM Identity Center in an account of identities", actions.Clip(id.ARN))
}

// answer is that of AWS.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
type answer struct {
	XMLName xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ GetCallerIdentityResponse"`
	Result  struct {
		Arn, UserId, Account string //nolint:revive // as AWS has it
	} `xml:"GetCallerIdentityResult"`
}

func (v Verifier) ask(ctx context.Context, s approvals.SignedStatement) (Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	req, err := request(ctx, s)
	if err != nil {
		return Identity{}, err
	}
	req.Header.Set("Authorization", authorization(s))
	if v.Endpoint != "" {
		req.Host = req.URL.Host // as it was signed
		if req.URL, err = req.URL.Parse(v.Endpoint); err != nil {
			return Identity{}, err
		}
	}
	client := v.Client
	if client == nil {
		client = &http.Client{}
	}
	once := *client
	once.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	out, err := once.Do(req)
	if err != nil {
		return Identity{}, fmt.Errorf("ask STS who signed: %w", err)
	}
	defer func() { _ = out.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(out.Body, maxAnswer))
	switch {
	case err != nil:
		return Identity{}, fmt.Errorf("ask STS who signed: %w", err)
	case out.StatusCode >= http.StatusInternalServerError || out.StatusCode == http.StatusTooManyRequests || strings.Contains(string(body), "<Code>Throttling"):
		return Identity{}, fmt.Errorf("ask STS who signed: it answers %d", out.StatusCode)
	case out.StatusCode != http.StatusOK:
		return Identity{}, approvals.Unproven("AWS does not take the signature: %s", codeOf(body, out.StatusCode))
	}
	var a answer
	if err := readXML(body, &a); err != nil || a.Result.UserId == "" || !actions.AccountID.MatchString(a.Result.Account) || !strings.Contains(a.Result.Arn, ":"+a.Result.Account+":") {
		return Identity{}, errors.New("ask STS who signed: its answer can't be read")
	}
	return Identity{ARN: a.Result.Arn, UserID: a.Result.UserId}, nil
}

func codeOf(body []byte, status int) string {
	var e struct {
		Code string `xml:"Error>Code"`
	}
	if readXML(body, &e) != nil || e.Code == "" {
		return fmt.Sprintf("it answers %d", status)
	}
	return actions.Clip(e.Code)
}

// readXML reads one element, and nothing behind it.
func readXML(body []byte, into any) error {
	d := xml.NewDecoder(strings.NewReader(string(body)))
	if err := d.Decode(into); err != nil {
		return err
	}
	for {
		switch t, err := d.Token(); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		default:
			if text, ok := t.(xml.CharData); !ok || strings.TrimSpace(string(text)) != "" {
				return errors.New("there is more")
			}
		}
	}
}

// For returns the verifier of an installation. endpoint takes the requests in place of AWS; empty: AWS.
func For(o actions.Org, team, endpoint string, now func() time.Time) Verifier {
	return Verifier{Regions: o.Regions, Partition: o.Partition, Accounts: o.IdentityAccounts, Installation: approvals.Installation(o.HubAccount, team), Endpoint: endpoint, Now: now}
}

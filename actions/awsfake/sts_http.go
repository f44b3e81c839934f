package awsfake

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"
)

// STS answers HTTP requests to GetCallerIdentity that others signed, and checks the signature, which the
// calls of the SDK's clients here don't need.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func (c *Cloud) STS() http.RoundTripper { return stsHTTP{c} }

type stsHTTP struct{ c *Cloud }

var authorizationHeader = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([A-Z0-9]+)/([0-9]{8})/([a-z0-9-]+)/sts/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$`)

var stsHost = regexp.MustCompile(`^sts\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?$`)

// RoundTrip implements [http.RoundTripper].
func (t stsHTTP) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	status, text := http.StatusOK, ""
	if text, err = t.c.callerIdentity(req, body); err != nil {
		var api smithy.APIError
		if !errors.As(err, &api) {
			return nil, err
		}
		status, text = http.StatusForbidden, fmt.Sprintf(`<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>`,
			api.ErrorCode(), escaped(api.ErrorMessage()))
	}
	return &http.Response{Status: strconv.Itoa(status), StatusCode: status, Header: http.Header{"Content-Type": {"text/xml"}}, Body: io.NopCloser(strings.NewReader(text)), Request: req}, nil
}

func escaped(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}

func (c *Cloud) callerIdentity(req *http.Request, body []byte) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	g := authorizationHeader.FindStringSubmatch(req.Header.Get("Authorization"))
	if g == nil {
		return "", apiError("MissingAuthenticationToken", "Request is missing Authentication Token")
	}
	keyID, day, region, names := g[1], g[2], g[3], strings.Split(g[4], ";")
	s, known := c.sessions[keyID]
	if !known || s.token != req.Header.Get("X-Amz-Security-Token") {
		return "", apiError("InvalidClientTokenId", "The security token included in the request is invalid.")
	}
	if !s.admin {
		if err := s.alive(now); err != nil {
			return "", err
		}
	}
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	mismatch := apiError("SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")
	at, err := time.Parse("20060102T150405Z", req.Header.Get("X-Amz-Date"))
	switch of := stsHost.FindStringSubmatch(host); {
	case err != nil, req.Method != http.MethodPost, req.URL.RawQuery != "", req.URL.Path != "/", !slices.Contains(names, "host"):
		return "", mismatch
	case of == nil || of[1] != region:
		return "", apiError("SignatureDoesNotMatch", "Credential should be scoped to a valid region.")
	case now.Sub(at).Abs() > 15*time.Minute:
		return "", apiError("SignatureDoesNotMatch", "Signature expired")
	case !strings.HasPrefix(req.Header.Get("X-Amz-Date"), day):
		return "", mismatch
	}
	again, err := http.NewRequestWithContext(req.Context(), http.MethodPost, "https://"+host+"/", nil)
	if err != nil {
		return "", err
	}
	for _, name := range names {
		switch name {
		case "host":
		case "content-length":
			again.ContentLength = int64(len(body))
		default:
			again.Header.Set(name, req.Header.Get(name))
		}
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(req.Context(), aws.Credentials{AccessKeyID: s.keyID, SecretAccessKey: s.secret, SessionToken: s.token}, again, hex.EncodeToString(sum[:]), "sts", region, at); err != nil {
		return "", err
	}
	if again.Header.Get("Authorization") != req.Header.Get("Authorization") {
		return "", mismatch
	}
	if string(body) != "Action=GetCallerIdentity&Version=2011-06-15" {
		return "", apiError("InvalidAction", "The action is not valid for this endpoint.")
	}
	out, err := getCallerIdentity(&request{c: c, caller: s}, nil)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <GetCallerIdentityResult>
    <Arn>%s</Arn>
    <UserId>%s</UserId>
    <Account>%s</Account>
  </GetCallerIdentityResult>
  <ResponseMetadata><RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId></ResponseMetadata>
</GetCallerIdentityResponse>
`, escaped(*out.Arn), escaped(*out.UserId), *out.Account), nil
}

// Credentials are those of a session, for what signs by itself.
func (s *Session) Credentials() aws.Credentials {
	return aws.Credentials{AccessKeyID: s.s.keyID, SecretAccessKey: s.s.secret, SessionToken: s.s.token}
}

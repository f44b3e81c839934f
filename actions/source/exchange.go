package source

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/killswitch-chatops/killswitch/actions"
)

// maxAnswer is the limit on an answer, in bytes.
const maxAnswer = 1 << 20

// exchange calls a JSON service without its SDK client, which would make the executor too
// large: id is the SDK's name of the service, name that of its endpoints and
// signatures. There are no retries. Errors are like those of an SDK client.
func exchange(ctx context.Context, a *actions.Account, method, id, name, region, path string, now time.Time, in, out any) error {
	var body []byte
	var err error
	if in != nil {
		body, err = json.Marshal(in)
	}
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, endpoint(ctx, a, id, name, region)+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	creds, err := a.Config().Credentials.Retrieve(ctx)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), name, region, now); err != nil {
		return err
	}
	resp, err := a.Config().HTTPClient.Do(req)
	if err != nil {
		return &smithyhttp.RequestSendError{Err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return &smithyhttp.RequestSendError{Err: err}
	case resp.StatusCode != http.StatusOK:
		return &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: resp}, Err: answeredError(resp.Header, answer)}
	case len(answer) > maxAnswer:
		return fmt.Errorf("%s answered with more than %d bytes", id, maxAnswer)
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s answered something else than JSON", id)
	}
	return nil
}

// endpoint returns the URL of a service, resolved as in the SDK's clients.
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
func endpoint(ctx context.Context, a *actions.Account, id, name, region string) string {
	for _, source := range a.Config().ConfigSources {
		if s, ok := source.(interface {
			GetServiceBaseEndpoint(context.Context, string) (string, bool, error)
		}); ok {
			if url, found, err := s.GetServiceBaseEndpoint(ctx, id); found && err == nil {
				return strings.TrimSuffix(url, "/")
			}
		}
	}
	if a.Config().BaseEndpoint != nil {
		return strings.TrimSuffix(*a.Config().BaseEndpoint, "/")
	}
	suffix := "amazonaws.com"
	if a.Partition == "aws-cn" {
		suffix += ".cn"
	}
	return "https://" + name + "." + region + "." + suffix
}

// answeredError reads the error of a JSON service.
// https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html#operation-error-serialization
func answeredError(header http.Header, body []byte) error {
	var told struct {
		Type    string `json:"__type"`
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	_ = json.Unmarshal(body, &told) // if it is invalid, the status and the header remain
	for _, code := range []string{header.Get("X-Amzn-Errortype"), told.Type, told.Code} {
		code, _, _ = strings.Cut(code, ":")
		if code = code[strings.LastIndex(code, "#")+1:]; code != "" {
			return &smithy.GenericAPIError{Code: code, Message: told.Message}
		}
	}
	return &smithy.GenericAPIError{Code: "UnknownError", Message: told.Message}
}

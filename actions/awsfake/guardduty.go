package awsfake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// guardDutyOperations: GetFindings has no resource type ("Actions, resources, and
// condition keys for Amazon GuardDuty", Service Authorization Reference).
var guardDutyOperations = map[string]operation{
	"guardduty:GetFindings": {run: bind(reads, getFindings).run, needs: onAll},
}

// finding is one that GuardDuty has.
type finding struct{ region, detector, id, body string }

// AddFinding puts a finding, as GuardDuty writes it, under a detector of the
// account, or replaces the one with its ID. Findings are no configuration, so they
// are not in the Snapshot. It panics when the finding is not JSON with an ID.
func (a *Account) AddFinding(region, detector, body string) {
	var named struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal([]byte(body), &named); err != nil || named.ID == "" {
		panic(fmt.Sprintf("awsfake: AddFinding: no finding with an ID: %v", err))
	}
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	f := finding{region, detector, named.ID, body}
	a.findings = slices.DeleteFunc(a.findings, func(o finding) bool {
		return o.region == f.region && o.detector == f.detector && o.id == f.id
	})
	a.findings = append(a.findings, f)
}

type getFindingsInput struct {
	detector string
	IDs      []string `json:"findingIds"`
}

type getFindingsOutput struct {
	Findings []json.RawMessage `json:"findings"`
}

// getFindings: https://docs.aws.amazon.com/guardduty/latest/APIReference/API_GetFindings.html
func getFindings(k *request, in *getFindingsInput) (*getFindingsOutput, error) {
	if n := len(in.IDs); n < 1 || n > 50 {
		return nil, apiError("BadRequestException", "The request is rejected because the parameter findingIds has an invalid value.")
	}
	known, out := false, &getFindingsOutput{Findings: []json.RawMessage{}}
	for _, f := range k.account.findings {
		if f.region != k.region || f.detector != in.detector {
			continue
		}
		known = true
		if slices.Contains(in.IDs, f.id) {
			out.Findings = append(out.Findings, json.RawMessage(f.body))
		}
	}
	if !known {
		return nil, apiError("BadRequestException", "The request is rejected because the input detectorId is not owned by the current account.")
	}
	return out, nil
}

// network is the HTTP client of this cloud's configurations. The requests of SDK
// clients never come so far; what the product sends by itself, without one, is
// served like the others.
type network struct{ c *Cloud }

var findingsPath = regexp.MustCompile(`^/detector/([^/]+)/findings/get$`)

// Do is what aws.HTTPClient wants.
func (n network) Do(req *http.Request) (*http.Response, error) {
	signed := &smithyhttp.Request{Request: req}
	host := "guardduty." + signedRegion(signed) + ".amazonaws.com"
	if n.c.partition == "aws-cn" {
		host += ".cn"
	}
	path := findingsPath.FindStringSubmatch(req.URL.Path)
	if req.URL.Scheme != "https" || req.URL.Host != host || req.Method != http.MethodPost || path == nil || req.Body == nil {
		return nil, errors.New("awsfake: a request got past the fake")
	}
	in := &getFindingsInput{detector: path[1]}
	if err := json.NewDecoder(req.Body).Decode(in); err != nil {
		return nil, err
	}
	id, out, err := n.c.serve(req.Context(), "guardduty:GetFindings", signed, in)
	status, header := http.StatusOK, http.Header{"X-Amzn-Requestid": {id}, "Content-Type": {"application/json"}}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		if status = statuses[api.ErrorCode()]; status == 0 {
			status = http.StatusBadRequest
		}
		if strings.HasPrefix(api.ErrorCode(), "AccessDenied") {
			status = http.StatusForbidden
		}
		header.Set("X-Amzn-Errortype", api.ErrorCode()+":http://internal.amazon.com/")
		out = map[string]string{"message": api.ErrorMessage()}
	} else if err != nil {
		return nil, err
	}
	body, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: req}, nil
}

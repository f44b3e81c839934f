package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestSweepsAreCounted, for the alarm that tells that there are none, with what failed in them: the bot has no token.
func TestSweepsAreCounted(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); operation == "Query" || operation == "GetItem" {
			_, _ = io.WriteString(w, "{}") // empty tables
			return
		}
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"ResourceNotFoundException"}`)
	}))
	defer server.Close()
	env := map[string]string{"CONFIG_FILE": "../../docs/killswitch.example.yaml", "AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
	var log bytes.Buffer
	now := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
	h, err := handler(func(k string) string { return env[k] }, func() time.Time { return now }, slog.New(slog.NewJSONHandler(&log, nil)).With(slog.String("zone", "bot")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h(t.Context(), invocation{DetailType: "Scheduled Event"}); err != nil {
		t.Log(err) // it counts all the same
	}
	var counted []string
	for line := range strings.Lines(log.String()) {
		// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
		var metric struct {
			Zone string `json:"zone"`
			AWS  struct {
				Timestamp         int64
				CloudWatchMetrics []struct {
					Namespace  string
					Dimensions [][]string
					Metrics    []struct{ Name, Unit string }
				}
			} `json:"_aws"`
		}
		var values map[string]any
		if json.Unmarshal([]byte(line), &metric) != nil || json.Unmarshal([]byte(line), &values) != nil || len(metric.AWS.CloudWatchMetrics) == 0 {
			continue
		}
		m := metric.AWS.CloudWatchMetrics[0]
		if metric.Zone != "bot" || metric.AWS.Timestamp != now.UnixMilli() || m.Namespace != "Killswitch" || !cmp.Equal(m.Dimensions, [][]string{{"zone"}}) || values[m.Metrics[0].Name] != 1.0 {
			t.Errorf("not a metric of the bot: %s", line)
		}
		counted = append(counted, m.Metrics[0].Name)
	}
	slices.Sort(counted)
	if diff := cmp.Diff([]string{"SlackRefused", "Sweeps"}, slices.Compact(counted)); diff != "" {
		t.Error(diff)
	}
}

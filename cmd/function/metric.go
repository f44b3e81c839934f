package function

import (
	"context"
	"log/slog"
	"time"
)

// Count writes a metric in CloudWatch's embedded metric format, which CloudWatch
// reads out of the log line.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
func Count(ctx context.Context, log *slog.Logger, at time.Time, name string, n int) {
	if n == 0 {
		return
	}
	log.InfoContext(ctx, "metric", slog.Attr{Key: name, Value: slog.IntValue(n)}, slog.Any("_aws", map[string]any{ //nolint:sloglint // CloudWatch wants this key
		"Timestamp": at.UnixMilli(),
		"CloudWatchMetrics": []any{map[string]any{
			"Namespace": "Killswitch", "Dimensions": [][]string{{"zone"}}, "Metrics": []any{map[string]string{"Name": name, "Unit": "Count"}},
		}},
	}))
}

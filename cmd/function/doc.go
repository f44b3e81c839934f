// Package function is shared by the three Lambda functions. It knows nothing of
// Killswitch, so that the public function can use it too.
//
//	AWS      the SDK's configuration from Lambda's environment, with short deadlines
//	Secret   a value in Secrets Manager, current and previous; it outlives an outage
//	Queue    sends to one SQS queue
//	Batch    handles the messages of an invocation, and reports those that failed
//	Count    a metric, written as a log line
package function

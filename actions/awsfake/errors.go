package awsfake

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// HTTP statuses by error code: the "Errors" sections of the operations in the
// IAM and STS API References, and "Common errors" there.
var statuses = map[string]int{
	"AccessDenied":            http.StatusForbidden,
	"ConcurrentModification":  http.StatusConflict,
	"DeleteConflict":          http.StatusConflict,
	"EntityAlreadyExists":     http.StatusConflict,
	"ExpiredToken":            http.StatusForbidden,
	"InternalFailure":         http.StatusInternalServerError,
	"InvalidClientTokenId":    http.StatusForbidden,
	"LimitExceeded":           http.StatusConflict,
	"NoSuchEntity":            http.StatusNotFound,
	"NotImplemented":          http.StatusNotImplemented,
	"ServiceFailure":          http.StatusInternalServerError,
	"ServiceUnavailable":      http.StatusServiceUnavailable,
	"InternalError":           http.StatusInternalServerError,
	"InternalServerError":     http.StatusInternalServerError,
	"ServiceUnavailableError": http.StatusServiceUnavailable,
	"RequestLimitExceeded":    http.StatusServiceUnavailable,
	"UnauthorizedOperation":   http.StatusForbidden,

	// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
	"ConditionalRequestConflict":   http.StatusConflict,
	"PreconditionFailed":           http.StatusPreconditionFailed,
	"SlowDown":                     http.StatusServiceUnavailable,
	"NoSuchBucket":                 http.StatusNotFound,
	"NoSuchBucketPolicy":           http.StatusNotFound,
	"NoSuchLifecycleConfiguration": http.StatusNotFound,
	"PermanentRedirect":            http.StatusMovedPermanently,
}

// respond wraps an API error as a response that came over HTTP, as the SDK's
// deserialisers do; other errors (a cut connection, say) stay as they are.
func respond(err error, requestID string) error {
	var api smithy.APIError
	var already *smithyhttp.ResponseError
	if !errors.As(err, &api) || errors.As(err, &already) {
		return err
	}
	status, ok := statuses[api.ErrorCode()]
	if !ok {
		status = http.StatusBadRequest // Throttling, ValidationError, MalformedPolicyDocument, …
	}
	return &awshttp.ResponseError{
		RequestID: requestID,
		ResponseError: &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody}},
			Err:      err,
		},
	}
}

// code is the API error's code, or a word for the log where there is none.
func code(err error) string {
	if err == nil {
		return ""
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return "Error"
}

func apiError(code, format string, args ...any) error {
	return &smithy.GenericAPIError{Code: code, Message: fmt.Sprintf(format, args...), Fault: smithy.FaultClient}
}

func validation(format string, args ...any) error {
	return apiError("ValidationError", format, args...)
}

func noSuchEntity(format string, args ...any) error {
	return &iamtypes.NoSuchEntityException{Message: aws.String(fmt.Sprintf(format, args...))}
}

func alreadyExists(format string, args ...any) error {
	return &iamtypes.EntityAlreadyExistsException{Message: aws.String(fmt.Sprintf(format, args...))}
}

func limitExceeded(format string, args ...any) error {
	return &iamtypes.LimitExceededException{Message: aws.String(fmt.Sprintf(format, args...))}
}

func deleteConflict(message string) error {
	return &iamtypes.DeleteConflictException{Message: aws.String(message)}
}

func invalidInput(message string) error {
	return &iamtypes.InvalidInputException{Message: aws.String(message)}
}

func malformed(err error) error {
	return &iamtypes.MalformedPolicyDocumentException{Message: aws.String(err.Error())}
}

// protected is what AWS says of service-linked and Identity Center roles.
func protected(role string) error {
	return &iamtypes.UnmodifiableEntityException{Message: aws.String("Cannot perform the operation on the protected role '" + role + "' - this role is only modifiable by AWS")}
}

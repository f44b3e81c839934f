package actions

// What actions that report share, for its tests.
var (
	LookUpActivity  = lookUpActivity
	ActivityPermits = activityPermits
)

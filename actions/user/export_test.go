package user

// Joined and MemberSince are for tests.
var (
	Joined      = joined
	MemberSince = memberSince
)

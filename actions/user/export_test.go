package user

// Joined and MemberSince are for tests.
var (
	Joined      = isJoin
	MemberSince = memberSince
)

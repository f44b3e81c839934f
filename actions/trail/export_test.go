package trail

// ActivityPermits are the permissions of a look-up.
var ActivityPermits = LookupPermits

package source

// Reads are the kinds that Look can read.
func Reads() (kinds []Kind) {
	for k := range reads() {
		kinds = append(kinds, k)
	}
	return kinds
}

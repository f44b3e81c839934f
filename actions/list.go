package actions

import "context"

// Pager is a paginator of the SDK.
type Pager[Page, Opt any] interface {
	HasMorePages() bool
	NextPage(context.Context, ...func(*Opt)) (*Page, error)
}

// List reads every page of a listing: items are those of a page, and of makes the
// element of the result.
func List[Page, Opt, Item, T any](ctx context.Context, p Pager[Page, Opt], items func(*Page) []Item, of func(Item) T) ([]T, error) {
	var all []T
	for p.HasMorePages() {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, item := range items(page) {
			all = append(all, of(item))
		}
	}
	return all, nil
}

// Itself makes items the elements of a [List].
func Itself[T any](item T) T { return item }

// AtMost ends a listing after n pages.
func AtMost[Page, Opt any](n int, p Pager[Page, Opt]) Pager[Page, Opt] {
	return &firstPages[Page, Opt]{p, n}
}

type firstPages[Page, Opt any] struct {
	Pager[Page, Opt]
	left int
}

func (p *firstPages[Page, Opt]) HasMorePages() bool {
	p.left--
	return p.left >= 0 && p.Pager.HasMorePages()
}

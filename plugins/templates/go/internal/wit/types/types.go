// Package types has the shapes of the contract that Go lacks: a value that may be missing, and a value or an error.
package types

// Unit is a result that says only that it went well.
type Unit struct{}

// What Option.Tag answers.
const (
	OptionNone uint8 = iota
	OptionSome
)

// Option is a value that may be missing.
type Option[T any] struct {
	value   T
	present bool
}

// Some is a value.
func Some[T any](value T) Option[T] { return Option[T]{value: value, present: true} }

// None is the lack of one.
func None[T any]() Option[T] { return Option[T]{} }

// IsSome says whether there is a value.
func (o Option[T]) IsSome() bool { return o.present }

// IsNone says whether there is none.
func (o Option[T]) IsNone() bool { return !o.present }

// Some is the value; it panics if there is none.
func (o Option[T]) Some() T {
	if !o.present {
		panic("a missing value was asked for")
	}
	return o.value
}

// Or is the value, or that one if there is none.
func (o Option[T]) Or(usual T) T {
	if o.present {
		return o.value
	}
	return usual
}

// Tag is OptionSome or OptionNone.
func (o Option[T]) Tag() uint8 {
	if o.present {
		return OptionSome
	}
	return OptionNone
}

// What Result.Tag answers.
const (
	ResultOk uint8 = iota
	ResultErr
)

// Result is a value, or an error that says why there is none.
type Result[T, E any] struct {
	value  T
	err    E
	failed bool
}

// Ok is a value.
func Ok[T, E any](value T) Result[T, E] { return Result[T, E]{value: value} }

// Err is an error.
func Err[T, E any](err E) Result[T, E] { return Result[T, E]{err: err, failed: true} }

// IsOk says whether there is a value.
func (r Result[T, E]) IsOk() bool { return !r.failed }

// IsErr says whether there is an error.
func (r Result[T, E]) IsErr() bool { return r.failed }

// Ok is the value; it panics if there is an error.
func (r Result[T, E]) Ok() T {
	if r.failed {
		panic("the value of a failure was asked for")
	}
	return r.value
}

// Err is the error; it panics if there is none.
func (r Result[T, E]) Err() E {
	if !r.failed {
		panic("the error of a success was asked for")
	}
	return r.err
}

// Tag is ResultOk or ResultErr.
func (r Result[T, E]) Tag() uint8 {
	if r.failed {
		return ResultErr
	}
	return ResultOk
}

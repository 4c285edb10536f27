// Package runtime carries values between the host and Go.
//
// The host asks cabi_realloc for room for what it answers, while a call of the host is in progress. Nothing may
// leave the component then, not even to read the clock, which Go's collector does. So cabi_realloc takes room
// that Go does not manage: a piece of an arena. What the host wrote there is copied into Go's own memory
// when its call has ended (String, Slice), and the arena is empty again when the next one begins (Allocate).
package runtime

import (
	"math/bits"
	"runtime"
	"runtime/debug"
	"unsafe"
)

// Heap that Go may have before it collects in any case, in octets: a call has 64 MiB where nothing else is written.
const heap = 32 << 20

func init() { debug.SetMemoryLimit(heap) }

// The arena's first block, in octets: one reading gives 64 KiB at most.
const block = 128 << 10

var first [block]byte

// Blocks of the arena. Those behind the first are made when an answer needs them, each twice as large as the one
// before or larger, and never given back.
var blocks [bits.UintSize]struct{ start, size uintptr }

// The block that pieces come from, what of it is given out, and the blocks that there are.
var current, used, made uintptr

// String is a copy of text that the host wrote.
func String(start *uint8, length uint32) string {
	return string(unsafe.Slice(start, length))
}

// Slice is a copy of a list that the host wrote.
func Slice[T any](start *T, length uint32) []T {
	return append(make([]T, 0, length), unsafe.Slice(start, length)...)
}

// Allocate makes room that the host reads or answers in. The wrappers call it before each call of the host:
// what the one before wrote is copied.
func Allocate(pinner *runtime.Pinner, size, align uintptr) unsafe.Pointer {
	Unpin()
	if size == 0 {
		return nil
	}
	// Eight octets are aligned as strictly as any value of the contract.
	start := unsafe.Pointer(unsafe.SliceData(make([]uint64, (size+7)/8)))
	pinner.Pin(start)
	return start
}

// Unpin empties the arena. The wrappers call it when they have copied the parameters of a question.
func Unpin() { current, used = 0, 0 }

// Go's own: octets of linear memory that the collector does not look at.
//
//go:linkname sbrk runtime.sbrk
func sbrk(size uintptr) unsafe.Pointer

// The host calls it for what it answers. It may be called before Go has begun.
//
//go:wasmexport cabi_realloc
func answer(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	if old != nil {
		panic("an answer does not grow")
	}
	if made == 0 {
		blocks[0].start, blocks[0].size = uintptr(unsafe.Pointer(&first)), block
		made = 1
	}
	for {
		from := &blocks[current]
		start := (from.start + used + align - 1) &^ (align - 1)
		if end := start + size; end >= start && end <= from.start+from.size {
			used = end - from.start
			return unsafe.Pointer(start)
		}
		if current+1 == made {
			grow(from.size, size+align)
		}
		current, used = current+1, 0
	}
}

// Makes a block in which the piece fits.
func grow(last, piece uintptr) {
	size := max(2*last, piece)
	start := sbrk(size)
	if start == nil {
		panic("no memory is left for an answer")
	}
	blocks[made].start, blocks[made].size = uintptr(start), size
	made++
}

// The adapter of WASI keeps what it asks for here.
//
//go:wasmexport cabi_realloc_adapter
func keep(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	// It begins at a page.
	return sbrk(size)
}

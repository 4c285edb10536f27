// Package policy, in the place of the Go template's, does with memory what policies seldom do.
package policy

import (
	"bytes"
	"fmt"

	"example.com/stress/bindings/imports/postern_policy_config"
	"example.com/stress/bindings/imports/postern_policy_edit"
	"example.com/stress/bindings/imports/postern_policy_kv"
	"example.com/stress/bindings/imports/postern_policy_message"
	"example.com/stress/bindings/imports/postern_policy_session"
	contract "example.com/stress/bindings/imports/postern_policy_types"
	"example.com/stress/internal/wit/types"
)

// What the collector must not take away, and must not keep for ever.
var sink [][]byte

// Calls of this instance.
var calls uint64

func Validate() types.Result[types.Unit, string] { return types.Ok[types.Unit, string](types.Unit{}) }

func OnMessage() contract.Verdict {
	calls++
	deed := postern_policy_config.Get("do").Or("nothing")
	told := map[string]func() string{"read": read, "garbage": garbage, "headers": headers, "values": values, "call": call}[deed]()
	postern_policy_edit.AddHeader("X-Told", told)
	return contract.MakeVerdictAccept()
}

// The whole message, piece by piece. Some pieces are kept, and must be what they were at the end.
func read() string {
	var kept [][]byte
	var sums []uint64
	var offset uint32
	var all uint64
	for {
		piece := postern_policy_message.Read(offset, 64<<10)
		if len(piece) == 0 {
			break
		}
		if offset%(8<<20) == 0 {
			kept, sums = append(kept, piece), append(sums, sum(piece))
		}
		all += sum(piece)
		offset += uint32(len(piece))
	}
	for at, piece := range kept {
		if sum(piece) != sums[at] {
			return fmt.Sprintf("piece %d has changed", at)
		}
	}
	return fmt.Sprintf("%d octets, sum %d", offset, all)
}

func sum(octets []byte) (sum uint64) {
	for _, octet := range octets {
		sum += uint64(octet)
	}
	return
}

// 240 MiB of which 8 MiB are ever in use.
func garbage() string {
	sink = make([][]byte, 8)
	for at := range 240 {
		sink[at%len(sink)] = bytes.Repeat([]byte{byte(at)}, 1<<20)
	}
	return fmt.Sprintf("%d", sink[0][0])
}

// An answer of many pieces, larger than any block that the arena had before.
func headers() string {
	var octets int
	for range 5 {
		octets = 0
		for at, field := range postern_policy_message.Headers() {
			want := fmt.Sprintf("field %d", at)
			if !bytes.HasPrefix(field.Value, []byte(want)) {
				return fmt.Sprintf("%s has %.40q", want, field.Value)
			}
			octets += len(field.Value)
		}
	}
	return fmt.Sprintf("%d octets", octets)
}

// Values of 1 MiB there and back, between 200 MiB of garbage.
func values() string {
	value := bytes.Repeat([]byte("v"), 1<<20)
	for at := range 50 {
		value[at] = 'V'
		if set := postern_policy_kv.Set("value", value, 0); set.IsErr() {
			return set.Err()
		}
		got := postern_policy_kv.Get("value").Ok().Some()
		sink = append(sink[:0], bytes.Repeat(got, 4))
		if !bytes.Equal(got, value) {
			return fmt.Sprintf("value %d has changed", at)
		}
	}
	return "50 values"
}

// Little of everything, for an instance that is called again and again.
func call() string {
	piece := postern_policy_message.Read(uint32(calls*257%4096), uint32(calls*7919%65536))
	sender := postern_policy_session.MailFrom()
	sink = append(sink[:0], bytes.Repeat(piece, 2))
	return fmt.Sprintf("%d octets from %s", len(piece), sender)
}

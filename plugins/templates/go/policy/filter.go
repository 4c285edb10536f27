// Package policy is example-policy: it refuses messages with a phrase, and counts those of each sender.
//
// A filter answers with a verdict: accept, reject (5xx), defer (4xx), discard or quarantine. The first that
// does not accept ends the question. OnMessage is asked after the final dot, before the 250.
package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"example.com/example-policy/bindings/imports/postern_policy_config"
	"example.com/example-policy/bindings/imports/postern_policy_edit"
	"example.com/example-policy/bindings/imports/postern_policy_kv"
	"example.com/example-policy/bindings/imports/postern_policy_log"
	"example.com/example-policy/bindings/imports/postern_policy_message"
	"example.com/example-policy/bindings/imports/postern_policy_mime"
	"example.com/example-policy/bindings/imports/postern_policy_session"
	contract "example.com/example-policy/bindings/imports/postern_policy_types"
	"example.com/example-policy/internal/wit/types"
)

// What the administrator wrote in the file beside the component.
type settings struct {
	phrase string
	hourly int64
}

func read() (settings, error) {
	phrase := postern_policy_config.Get("phrase").Or("wire the money")
	if len(phrase) < 1 || len(phrase) > 200 {
		return settings{}, errors.New("phrase must have 1 to 200 octets")
	}
	text := postern_policy_config.Get("hourly").Or("100")
	// ParseUint takes no sign.
	hourly, err := strconv.ParseUint(text, 10, 32)
	if err != nil || len(text) > 7 || hourly < 1 || hourly > 1_000_000 {
		return settings{}, errors.New("hourly must be a whole number from 1 to 1000000")
	}
	return settings{phrase, int64(hourly)}, nil
}

// Refuses a setting that is not among these, for it may be misspelt, and one that is a list or a map.
func known(names ...string) error {
	var settings map[string]json.RawMessage
	if err := json.Unmarshal([]byte(postern_policy_config.Json()), &settings); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if !slices.Contains(names, name) {
			return fmt.Errorf("unknown setting `%s`: known are %s", name, strings.Join(names, ", "))
		}
		if value := settings[name]; value[0] == '[' || value[0] == '{' {
			return fmt.Errorf("%s must be one value, not a list or a map", name)
		}
	}
	return nil
}

// Validate is asked when the policy is loaded: the error is what the administrator reads.
func Validate() types.Result[types.Unit, string] {
	if err := known("phrase", "hourly"); err != nil {
		return types.Err[types.Unit](err.Error())
	}
	if _, err := read(); err != nil {
		return types.Err[types.Unit](err.Error())
	}
	return types.Ok[types.Unit, string](types.Unit{})
}

// OnMessage decides a message.
func OnMessage() contract.Verdict {
	settings, err := read()
	if err != nil {
		// They were validated when the policy was loaded. A panic ends the call, and the policy's own file
		// says under `failure` what becomes of the message.
		panic(err)
	}
	phrase := lower([]byte(settings.phrase))
	subject := postern_policy_message.HeaderText("Subject").Or("")
	if bytes.Contains(lower([]byte(subject)), phrase) || bodyContains(phrase) {
		text := fmt.Sprintf("\"%s\" is not taken here", settings.phrase)
		return contract.MakeVerdictReject(contract.Reply{Code: 550, Enhanced: "5.7.1", Text: text})
	}
	body := postern_policy_message.Size() - postern_policy_message.BodyOffset()
	mark := fmt.Sprintf("%d octets, 1 part", body)
	if parts := len(postern_policy_mime.Parts()); parts != 1 {
		mark = fmt.Sprintf("%d octets, %d parts", body, parts)
	}
	if sender := postern_policy_session.MailFrom(); sender != "" {
		// A missing key counts as 0; it is forgotten an hour after it was made.
		count := postern_policy_kv.Increment("sent/"+sender, 1, 3600)
		switch {
		case count.IsErr():
			postern_policy_log.Warn("not counted: " + count.Err())
		case count.Ok() > settings.hourly:
			text := fmt.Sprintf("too many messages from %s, try again in an hour", sender)
			return contract.MakeVerdictDefer(contract.Reply{Code: 450, Enhanced: "4.7.1", Text: text})
		default:
			mark += fmt.Sprintf("; message %d of this hour", count.Ok())
		}
	}
	postern_policy_edit.AddHeader("X-Example-Policy", mark)
	return contract.MakeVerdictAccept()
}

// Reads the body in pieces: one reading gives at most 64 KiB.
func bodyContains(phrase []byte) bool {
	offset := postern_policy_message.BodyOffset()
	// The end of the piece before: the phrase may lie across.
	var window []byte
	for {
		piece := postern_policy_message.Read(offset, 64<<10)
		if len(piece) == 0 {
			return false
		}
		offset += uint32(len(piece))
		window = append(window, lower(piece)...)
		if bytes.Contains(window, phrase) {
			return true
		}
		kept := min(len(window), len(phrase)-1)
		window = append(window[:0], window[len(window)-kept:]...)
	}
}

// Capital letters from A to Z as small ones; mail has octets that are no text.
func lower(octets []byte) []byte {
	for at, octet := range octets {
		if octet >= 'A' && octet <= 'Z' {
			octets[at] = octet + 'a' - 'A'
		}
	}
	return octets
}

// Package policy is example-policy: one bound for all mailboxes, one for each message, and a warning before.
//
// A quota answers with the highest usage that a mailbox may reach, this message included. The host compares
// it with exact usage when the message is delivered, so that messages arriving together cannot pass it.
package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"example.com/example-policy/bindings/imports/postern_policy_config"
	contract "example.com/example-policy/bindings/imports/postern_policy_types"
	"example.com/example-policy/internal/wit/types"
)

// MiB, MiB and per cent.
type settings struct{ mailbox, message, warn uint64 }

func number(name string, usual, most uint64) (uint64, error) {
	text := postern_policy_config.Get(name).Or(strconv.FormatUint(usual, 10))
	// ParseUint takes no sign.
	number, err := strconv.ParseUint(text, 10, 32)
	if err != nil || len(text) > 7 || number < 1 || number > most {
		return 0, fmt.Errorf("%s must be a whole number from 1 to %d", name, most)
	}
	return number, nil
}

func read() (found settings, err error) {
	if found.mailbox, err = number("mailbox", 1024, 1_000_000); err != nil {
		return
	}
	if found.message, err = number("message", 25, 1_000_000); err != nil {
		return
	}
	found.warn, err = number("warn", 90, 100)
	return
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
	if err := known("mailbox", "message", "warn"); err != nil {
		return types.Err[types.Unit](err.Error())
	}
	if _, err := read(); err != nil {
		return types.Err[types.Unit](err.Error())
	}
	return types.Ok[types.Unit, string](types.Unit{})
}

// Check says whether this message may be added to that mailbox.
func Check(mailbox string, current contract.Usage, incoming uint64) contract.QuotaDecision {
	settings, err := read()
	if err != nil {
		// They were validated when the policy was loaded. A panic ends the call, and the policy's own file
		// says under `failure` what becomes of the recipient.
		panic(err)
	}
	if incoming > settings.message<<20 {
		text := fmt.Sprintf("a message for %s may have %d MiB", mailbox, settings.message)
		return contract.MakeQuotaDecisionDeny(contract.Reply{Code: 552, Enhanced: "5.2.3", Text: text})
	}
	most := settings.mailbox << 20
	ceiling := contract.Ceiling{Bytes: types.Some(most), Messages: types.None[uint64]()}
	if full := (current.Bytes + incoming) * 100 / most; full >= settings.warn {
		text := fmt.Sprintf("%s is %d %% full", mailbox, full)
		return contract.MakeQuotaDecisionWarn(contract.QuotaWarning{Text: text, Ceiling: ceiling})
	}
	return contract.MakeQuotaDecisionAllow(ceiling)
}

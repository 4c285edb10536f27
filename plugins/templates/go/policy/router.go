// Package policy is example-policy: one address for a team, addresses with a detail behind a plus, and one that
// is closed.
//
// A router says where mail for an address goes: pass (not mine, the next is asked), local, rewrite (ask
// again for these), relay, discard, reject or defer. The first that does not pass decides.
package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"example.com/example-policy/bindings/imports/postern_policy_config"
	contract "example.com/example-policy/bindings/imports/postern_policy_types"
	"example.com/example-policy/internal/wit/types"
)

func members() []string {
	members := strings.Split(postern_policy_config.Get("members").Or(""), ",")
	for at, member := range members {
		members[at] = strings.Trim(member, " ")
	}
	return members
}

// Local part and domain of an address; both are empty if it is none.
func split(address string) (local, domain string) {
	at := strings.LastIndexByte(address, '@')
	if at < 1 || at == len(address)-1 {
		return "", ""
	}
	return address[:at], address[at+1:]
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
	if err := known("team", "members", "closed"); err != nil {
		return types.Err[types.Unit](err.Error())
	}
	for _, member := range members() {
		if local, _ := split(member); local == "" {
			return types.Err[types.Unit](fmt.Sprintf("members: `%s` is no address", member))
		}
	}
	return types.Ok[types.Unit, string](types.Unit{})
}

// Resolve says where mail for recipient goes. Its domain is in small letters.
func Resolve(recipient string) contract.Route {
	if closed := postern_policy_config.Get("closed"); closed.IsSome() && closed.Some() == recipient {
		reply := contract.Reply{Code: 550, Enhanced: "5.1.1", Text: recipient + " is closed"}
		return contract.MakeRouteReject(reply)
	}
	if team := postern_policy_config.Get("team"); team.IsSome() && team.Some() == recipient {
		return contract.MakeRouteRewrite(members())
	}
	local, domain := split(recipient)
	if name, _, detailed := strings.Cut(local, "+"); detailed && name != "" {
		return contract.MakeRouteRewrite([]string{name + "@" + domain})
	}
	return contract.MakeRoutePass()
}

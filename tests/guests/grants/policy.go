// Package policy is grants: what the capabilities that are granted by name know of a sender, each in a header field.
//
// Each answers a Result. Its error is text: `not granted` where the administrator's file grants nothing, else what is
// outside of the grant, or what went wrong. It ends nothing: this filter says it in the field, and accepts.
package policy

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	config "example.com/grants/bindings/imports/postern_policy_config"
	directory "example.com/grants/bindings/imports/postern_policy_directory"
	dns "example.com/grants/bindings/imports/postern_policy_dns"
	edit "example.com/grants/bindings/imports/postern_policy_edit"
	http "example.com/grants/bindings/imports/postern_policy_http"
	kv "example.com/grants/bindings/imports/postern_policy_kv"
	session "example.com/grants/bindings/imports/postern_policy_session"
	contract "example.com/grants/bindings/imports/postern_policy_types"
	"example.com/grants/internal/wit/types"
)

const (
	// Seconds.
	day = 86_400
	// Octets of what others wrote that are shown.
	most = 100
)

// OnMessage decides a message.
func OnMessage() contract.Verdict {
	sender := session.MailFrom()
	for _, capability := range []struct {
		field string
		ask   func(sender string) (string, error)
	}{
		{"X-Kv", askKv},
		{"X-Dns", askDns},
		{"X-Directory", askDirectory},
		{"X-Http", askHttp},
	} {
		value, err := capability.ask(sender)
		if err != nil {
			value = "error: " + err.Error()
		}
		edit.AddHeader(capability.field, value)
	}
	return contract.MakeVerdictAccept()
}

// A result as Go has it.
func known[T any](result types.Result[T, string]) (value T, err error) {
	if result.IsErr() {
		return value, errors.New(result.Err())
	}
	return result.Ok(), nil
}

// The sender's last message, in whose place this one is put.
func askKv(sender string) (string, error) {
	key := "last/" + sender
	last, err := known(kv.Get(key))
	if err != nil {
		return "", err
	}
	this := []byte(session.QueueId())
	// Of two messages at once only one finds what it read still there.
	isSet, err := known(kv.CompareAndSet(key, last, this, day))
	switch {
	case err != nil:
		return "", err
	case !isSet:
		return "another at the same time", nil
	case last.IsSome():
		return "after " + shown(last.Some()), nil
	default:
		return "the first", nil
	}
}

// Where the sender's domain takes mail; an empty list where it has no MX.
func askDns(sender string) (string, error) {
	domain := sender[strings.LastIndex(sender, "@")+1:]
	exchanges, err := known(dns.Mx(domain))
	if err != nil {
		return "", err
	}
	return strings.Join(exchanges, ", "), nil
}

// The mailbox behind the sender's address, if it is one of ours.
func askDirectory(sender string) (string, error) {
	mailbox, err := known(directory.MailboxOf(sender))
	if err != nil {
		return "", err
	}
	return mailbox.Or("nobody here"), nil
}

// What a service says about the sender.
func askHttp(sender string) (string, error) {
	answer, err := known(http.Send(contract.HttpRequest{
		Method:  "POST",
		Url:     config.Get("url").Or("https://api.example.com/reputation"),
		Headers: []contract.HeaderField{{Name: "Content-Type", Value: []byte("text/plain")}},
		Body:    []byte(sender),
		// What the grant gives one request.
		TimeoutMs: 0,
	}))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d %s", answer.Status, shown(answer.Body)), nil
}

// Their beginning as text. They may be anything, and a string that is no UTF-8 would end the call: what is no ASCII is
// a question mark.
func shown(octets []byte) string {
	text := bytes.Clone(octets[:min(len(octets), most)])
	for at, octet := range text {
		if octet < ' ' || octet > '~' {
			text[at] = '?'
		}
	}
	return string(text)
}

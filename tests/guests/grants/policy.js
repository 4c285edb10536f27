// grants: what the capabilities that are granted by name know of a sender, each in a header field.
//
// Each throws its error, whose text is `error.payload`: `not granted` where the administrator's file grants nothing,
// else what is outside of the grant, or what went wrong. Caught, it ends nothing: this filter says it in the field,
// and accepts.

import config from "postern:policy/config@0.1.0";
import directory from "postern:policy/directory@0.1.0";
import dns from "postern:policy/dns@0.1.0";
import edit from "postern:policy/edit@0.1.0";
import http from "postern:policy/http@0.1.0";
import kv from "postern:policy/kv@0.1.0";
import session from "postern:policy/session@0.1.0";

// Seconds.
const DAY = 86400;
// Octets of what others wrote that are shown.
const SHOWN = 100;

export const messageFilter = {
  onMessage() {
    const sender = session.mailFrom();
    tell("X-Kv", () => askKv(sender));
    tell("X-Dns", () => askDns(sender));
    tell("X-Directory", () => askDirectory(sender));
    tell("X-Http", () => askHttp(sender));
    return { tag: "accept" };
  },
};

function tell(field, ask) {
  let value;
  try {
    value = ask();
  } catch (error) {
    // What has no payload is a fault of our own, and ends the call.
    if (error.payload === undefined) {
      throw error;
    }
    value = `error: ${error.payload}`;
  }
  edit.addHeader(field, value);
}

// The sender's last message, in whose place this one is put.
function askKv(sender) {
  const key = `last/${sender}`;
  const last = kv.get(key);
  const self = octetsOf(session.queueId());
  // Of two messages at once only one finds what it read still there.
  if (!kv.compareAndSet(key, last, self, DAY)) {
    return "another at the same time";
  }
  // What is not there is null here, and undefined in other engines.
  return last == null ? "the first" : `after ${shown(last)}`;
}

// Where the sender's domain takes mail; an empty list where it has no MX.
function askDns(sender) {
  const domain = sender.slice(sender.lastIndexOf("@") + 1);
  return dns.mx(domain).join(", ");
}

// The mailbox behind the sender's address, if it is one of ours.
function askDirectory(sender) {
  return directory.mailboxOf(sender) ?? "nobody here";
}

// What a service says about the sender.
function askHttp(sender) {
  const answer = http.send({
    method: "POST",
    url: config.get("url") ?? "https://api.example.com/reputation",
    headers: [{ name: "Content-Type", value: octetsOf("text/plain") }],
    body: octetsOf(sender),
    // What the grant gives one request.
    timeoutMs: 0,
  });
  return `${answer.status} ${shown(answer.body)}`;
}

// There is no TextEncoder here: the octets of a text's UTF-8.
function octetsOf(text) {
  return Uint8Array.from(unescape(encodeURIComponent(text)), (character) => character.charCodeAt(0));
}

// Their beginning as text. They may be anything; what is no ASCII is a question mark.
function shown(octets) {
  return String.fromCharCode(...octets.subarray(0, SHOWN)).replace(/[^ -~]/g, "?");
}

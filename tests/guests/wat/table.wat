;; At MAIL FROM, grows a table until it is refused, then traps.
(component
  (core module $module
    (memory (export "memory") 1)
    (table $table 1 funcref)
    (func (export "on-mail") (result i32)
      (loop $more
        (br_if $more (i32.ne (table.grow $table (ref.null func) (i32.const 4096)) (i32.const -1))))
      unreachable))
  (core instance $core (instantiate $module))
  (type $reply (record (field "code" u16) (field "enhanced" string) (field "text" string)))
  (type $verdict (variant (case "accept") (case "reject" $reply) (case "defer" $reply) (case "discard")
    (case "quarantine" string)))
  (func $on-mail (result $verdict) (canon lift (core func $core "on-mail") (memory (core memory $core "memory"))))
  (component $face
    (type $a-reply (record (field "code" u16) (field "enhanced" string) (field "text" string)))
    (import "reply" (type $reply (eq $a-reply)))
    (type $a-verdict (variant (case "accept") (case "reject" $reply) (case "defer" $reply) (case "discard")
      (case "quarantine" string)))
    (import "verdict" (type $verdict (eq $a-verdict)))
    (import "on-mail" (func $on-mail (result $verdict)))
    (export $the-reply "reply" (type $a-reply))
    (type $named (variant (case "accept") (case "reject" $the-reply) (case "defer" $the-reply) (case "discard")
      (case "quarantine" string)))
    (export $the-verdict "verdict" (type $named))
    (export "on-mail" (func $on-mail) (func (result $the-verdict))))
  (instance $sender-filter (instantiate $face
    (with "reply" (type $reply)) (with "verdict" (type $verdict)) (with "on-mail" (func $on-mail))))
  (export "postern:policy/sender-filter@0.1.0" (instance $sender-filter)))

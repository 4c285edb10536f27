;; Imports what no gateway has.
(component
  (import "postern:unknown/oracle@0.1.0" (instance (export "ask" (func (result string))))))

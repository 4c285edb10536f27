;; Built against a later 0.1 of the contract: two functions that this gateway does not have.
(component
  (import "postern:policy/session@0.1.7" (instance
    (export "client-port" (func (result u32)))
    (export "client-weather" (func (result string))))))

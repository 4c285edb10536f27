import os
from gateway.test_memory import *
class T(LargeCase):
    def test_retr(self):
        readers = [f"reader{number}@example.org" for number in range(READERS)]
        for reader in readers:
            self.gateway.add_user(reader, "correct horse battery")
        with self.mx() as client:
            self.accept(client, BIG, readers)
        sessions = [self.pop(reader, utf8=True) for reader in readers]
        def retrieve(number):
            return len(sessions[number].retrieve(1))
        for n in (1,2,10,10):
            self.peak_of("%d RETR 50 MB"%n, n, retrieve)
del Large, LargeBesidePolicies, LargeCase
unittest.main()

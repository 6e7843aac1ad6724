"""A model provider on loopback that goes wrong on order, and keeps the books: `from faults.server import serving`.

answers      what the models behind it say          faults       the names of what can go wrong
script       which request meets which fault        distortions  replies that are sent whole and say odd things
caching      a proxy that answers with copies       breakages    replies that are not sent as HTTP has it
limits       slots and a request rate               ledger       what was asked, answered and billed
replies      a reply in the shape of the API        responses    HTTP responses, errors among them
chat         the chat endpoint                      batches      the batch endpoints
batch_files  what batches read and write            trials       how a batch goes
server       all of it, in a thread                 process      all of it, in a process of its own
__main__     python -m faults
"""

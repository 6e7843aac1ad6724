"""A model provider on loopback with scripted faults and a ledger of its requests: `from faults.server import serving`.

answers      the models behind it                   faults       the names of the faults
script       which request has which fault          distortions  replies that are sent whole with odd contents
caching      a proxy that answers with copies       breakages    replies that are not valid HTTP
limits       slots and a request rate               ledger       requests, answers and bills
replies      replies in the form of the API         responses    HTTP responses, errors among them
chat         the chat endpoint                      batches      the batch endpoints
batch_files  the files of batches                   trials       faults of batches
server       all of it, in a thread                 process      all of it, in a process of its own
__main__     python -m faults
"""

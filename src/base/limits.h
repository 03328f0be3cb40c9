/* Every size that a stranger's bytes can influence, with its reason, in one table. A file or
 * request that passes one of these is refused with a line that names the limit.
 */
#ifndef HEARTH_BASE_LIMITS_H
#define HEARTH_BASE_LIMITS_H

/* GGUF files */
#define LIMIT_GGUF_KV 65536        /* metadata pairs; real files have under 100 */
#define LIMIT_GGUF_TENSORS 131072  /* tensors over all parts; the largest known have under 4,000 */
#define LIMIT_GGUF_KEY_BYTES 65535 /* as the format says */
#define LIMIT_GGUF_STRING_BYTES (64u << 20) /* one string; chat templates reach some 100 KB */
#define LIMIT_GGUF_ARRAY_ITEMS (64u << 20)  /* one array; vocabularies reach some 300,000 */
#define LIMIT_GGUF_ARRAY_DEPTH 4            /* arrays of arrays */
#define LIMIT_GGUF_NAME_BYTES 256           /* a tensor's name */
#define LIMIT_GGUF_PARTS 1024               /* split files */
#define LIMIT_GGUF_ALIGN_MIN 8
#define LIMIT_GGUF_ALIGN_MAX 65536
#define LIMIT_TENSOR_DIM (1ull << 40) /* elements along one axis */

/* Hyper-parameters; see model/params.c for the ranges of each key */
#define LIMIT_LAYERS 1024
#define LIMIT_EMBD 131072 /* width of the residual stream */
#define LIMIT_HEADS 1024
#define LIMIT_HEAD_DIM 1024
#define LIMIT_FF 1048576 /* feed-forward width */
#define LIMIT_EXPERTS 4096
#define LIMIT_CONTEXT (1 << 24) /* tokens */
#define LIMIT_TOKEN_TYPES 64    /* of an encoder; real ones have 1 or 2 */
#define LIMIT_SCORES 64         /* outputs of a classifier */
#define LIMIT_VOCAB (4 << 20)   /* tokens */
#define LIMIT_TOKEN_BYTES 65536 /* one vocabulary entry */
#define LIMIT_LORA_RANK 4096    /* of one pair of an adapter; real ones have 4 to 256 */
#define LIMIT_LORAS 64          /* adapters of one model, and of one request */
#define LIMIT_LORA_SCALE 1000   /* by which a person makes one stronger; most have 0 to 2 */

/* Requests */
#define LIMIT_TEXT_BYTES (256u << 20) /* one text to tokenise */
#define LIMIT_STOP_STRINGS 64
#define LIMIT_STOP_BYTES 4096
#define LIMIT_TOP_LOGPROBS 128
#define LIMIT_BATCH_TOKENS 65536 /* rows of a step */
#define LIMIT_RUNNING 1024       /* requests that run at the same time */
#define LIMIT_TEXTS 4096         /* of one call for embeddings */
#define LIMIT_QUEUED (1 << 20)   /* requests that wait to be let in */
#define LIMIT_STEP_MS 600000     /* target time between tokens */
#define LIMIT_WEIGHT 1000        /* share of an owner beside others */
#define LIMIT_JSON_BYTES (64u << 20)
#define LIMIT_JSON_DEPTH 256
#define LIMIT_CALLS 1024                 /* HTTP calls in flight; more are told to come again */
#define LIMIT_KEPT_BYTES (64u << 20)     /* answers that a server keeps for later */
#define LIMIT_GRAMMARS_BYTES (64u << 20) /* compiled grammars that a server keeps */
#define LIMIT_CHOICES 128                /* answers of one call: prompts times n */
#define LIMIT_CALL_BYTES (256u << 20)    /* what a call keeps in its arena, and in its answer */

/* HTTP, for each connection */
#define LIMIT_HTTP_URI 8192            /* bytes of a request's target; 414 beyond */
#define LIMIT_HTTP_HEAD (64u << 10)    /* request line and header fields; 431 beyond */
#define LIMIT_HTTP_FIELDS 100          /* header fields; 431 beyond */
#define LIMIT_HTTP_CHUNK_LINE 256      /* a chunk's size with its extensions */
#define LIMIT_HTTP_BODY (64u << 20)    /* one request's body; 413 beyond. As LIMIT_JSON_BYTES */
#define LIMIT_HTTP_BODIES (1ull << 30) /* all bodies held at the same time; 503 beyond */
#define LIMIT_HTTP_BACKLOG (8u << 20)  /* unsent bytes of a stream; its client is dropped beyond */

/* HTTP, as a client: what a stranger's server may send */
#define LIMIT_HTTP_REDIRECTS 8
#define LIMIT_HTTP_REASON (64u << 10) /* the body of an answer that is no success */

/* Configuration */
#define LIMIT_CONFIG_BYTES (256u << 10) /* the file; real ones have under 10 KB */
#define LIMIT_CONFIG_ITEMS 4096         /* settings */

/* The store of models */
#define LIMIT_MANIFEST_BYTES (4 << 20) /* one manifest; real ones have under 10 KB */
#define LIMIT_MANIFEST_LAYERS 2048     /* a split model has one a part */
#define LIMIT_STORE_MODELS 65536       /* in one store, or found beside it */
#define LIMIT_LAYER_TEXT (16u << 20)   /* a template, a system text, parameters, a licence */
#define LIMIT_MODELFILE_BYTES (4u << 20)
#define LIMIT_MODELFILE_LINES 65536

/* Grammars: a stranger's schema, pattern or rules */
#define LIMIT_DFA_STATES 20000          /* of one automaton */
#define LIMIT_DFA_CELLS (4 << 20)       /* states x classes: 16 MB */
#define LIMIT_DFA_KEYS (3 << 20)        /* words that tell its states apart while it is made */
#define LIMIT_DFA_WORK (20 << 20)       /* steps that making it takes: about a tenth of a second */
#define LIMIT_SCHEMA_WORK (100 << 20)   /* the same for all of a schema's automata */
#define LIMIT_REGEX_NODES 50000         /* after counted repetitions are written out */
#define LIMIT_REGEX_DEPTH 200           /* nested groups */
#define LIMIT_SCHEMA_BYTES (4u << 20)   /* the text */
#define LIMIT_SCHEMA_MEMORY (64u << 20) /* everything compiled from it */
#define LIMIT_SCHEMA_DEPTH 200          /* brackets within brackets */
#define LIMIT_SCHEMA_ALTERNATIVES 1024  /* of one type in one place */
#define LIMIT_SCHEMA_CLAUSES 4096       /* of one object */
#define LIMIT_SCHEMA_EXPRESSIONS 200000
#define LIMIT_SCHEMA_EXPLORED 20000 /* of them checked beforehand */
#define LIMIT_GBNF_ELEMENTS 500000
#define LIMIT_GBNF_DEPTH 2000         /* rules entered without a character between */
#define LIMIT_MATCH_PLACES 4096       /* ways to have read one text */
#define LIMIT_MATCH_BYTES (64u << 20) /* of one answer, and of one walk over the vocabulary */
#define LIMIT_MASK_BYTES (16u << 20)  /* cached masks of one grammar */
#define LIMIT_SCHEMA_KEY_PATTERNS 8   /* that decide about one object's keys */

/* Money: price sheets, tables of machines, results of studies */
#define LIMIT_CSV_FIELD (64u << 10)
#define LIMIT_CSV_COLUMNS 64
#define LIMIT_CSV_MEMORY (256u << 20)
#define LIMIT_SHEET_BYTES (4u << 20) /* a price sheet; real ones have under 100 KB */

#endif

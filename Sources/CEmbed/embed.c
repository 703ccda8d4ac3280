// The list is kept by hand; a test compares it with the directories.
#include "cembed.h"

static const unsigned char node_0001[] = {
#embed "../../migrations/node/0001-initial.sql"
};
static const unsigned char node_0002[] = {
#embed "../../migrations/node/0002-pair.sql"
};
static const unsigned char segment_0001[] = {
#embed "../../migrations/segment/0001-initial.sql"
};
static const unsigned char coordinator_0001[] = {
#embed "../../migrations/coordinator/0001-initial.sql"
};
static const unsigned char coordinator_0002[] = {
#embed "../../migrations/coordinator/0002-log.sql"
};
static const unsigned char index_0001[] = {
#embed "../../migrations/index/0001-initial.sql"
};
static const unsigned char openapi[] = {
#embed "../../api/openapi.json"
};

static const cembed_file files[] = {
    {"migrations/node/0001-initial.sql", node_0001, sizeof node_0001},
    {"migrations/node/0002-pair.sql", node_0002, sizeof node_0002},
    {"migrations/segment/0001-initial.sql", segment_0001, sizeof segment_0001},
    {"migrations/coordinator/0001-initial.sql", coordinator_0001, sizeof coordinator_0001},
    {"migrations/coordinator/0002-log.sql", coordinator_0002, sizeof coordinator_0002},
    {"migrations/index/0001-initial.sql", index_0001, sizeof index_0001},
    {"api/openapi.json", openapi, sizeof openapi},
};

size_t cembed_file_count(void) { return sizeof files / sizeof *files; }
cembed_file cembed_file_at(size_t index) { return files[index]; }

"""Blocks and columns of the pipeline file (pipeline.md section 2)."""

from __future__ import annotations

from typing import Final

from vitreous.project.pipeline import Form, Status

GENERAL: Final = "pipeline_general"
PROCESSES: Final = "pipeline_processes"
NODES: Final = "pipeline_nodes"
INPUT_EDGES: Final = "pipeline_input_edges"
OUTPUT_EDGES: Final = "pipeline_output_edges"
BLOCKS: Final = (GENERAL, PROCESSES, NODES, INPUT_EDGES, OUTPUT_EDGES)

COUNTER: Final = "rlnPipeLineJobCounter"
NAME: Final = "rlnPipeLineProcessName"
ALIAS: Final = "rlnPipeLineProcessAlias"
TYPE: Final = "rlnPipeLineProcessType"
TYPE_LABEL: Final = "rlnPipeLineProcessTypeLabel"
STATUS: Final = "rlnPipeLineProcessStatus"
STATUS_LABEL: Final = "rlnPipeLineProcessStatusLabel"
NODE: Final = "rlnPipeLineNodeName"
NODE_TYPE: Final = "rlnPipeLineNodeType"
NODE_LABEL: Final = "rlnPipeLineNodeTypeLabel"
NODE_DEPTH: Final = "rlnPipeLineNodeTypeLabelDepth"
EDGE_PROCESS: Final = "rlnPipeLineEdgeProcess"
EDGE_FROM: Final = "rlnPipeLineEdgeFromNode"
EDGE_TO: Final = "rlnPipeLineEdgeToNode"
KNOWN: Final = {
    PROCESSES: {NAME, ALIAS, TYPE, TYPE_LABEL, STATUS, STATUS_LABEL},
    NODES: {NODE, NODE_TYPE, NODE_LABEL, NODE_DEPTH},
}
NONE: Final = "None"
UNNUMBERED: Final = -1
NUMBERS: Final = {TYPE, STATUS, NODE_TYPE, NODE_DEPTH}
STATUSES: Final = tuple(Status)  # the numbers of RELION 3.1 are the positions
VERSIONS: Final[dict[Form, int]] = {"3.1": 30001, "4.0": 30001, "5.0": 50001}

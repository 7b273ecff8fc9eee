/** What the daemon sends and takes; the same words as in `llmgate/schemas`. Times are ISO 8601, durations are seconds. */

export interface Page<Row> {
  data: Row[];
  next: string | null;
}

/** An error as the daemon tells it (RFC 9457). */
export interface ProblemDocument {
  title: string;
  status: number;
  code: string;
  detail: string;
  hint?: string | null;
  retry_after?: number | null;
  request_id?: string | null;
  param?: string | null;
}

export interface About {
  version: string;
  registration: boolean;
  setup_needed: boolean;
  password_min_length: number;
  /** Whether conversations are kept at all, and for how many days. */
  conversations: boolean;
  conversation_days: number;
  /** Whether a session can be kept in cookies here: they need https, or the operator's leave. */
  cookies: boolean;
}

export interface User {
  id: string;
  name: string;
  role: "user" | "admin";
}

export interface Me {
  kind: "key" | "session" | "address";
  id: string;
  name: string;
  role: "user" | "admin";
  level: number;
  user_id: string | null;
  session_id: string | null;
  models: string[] | null;
}

export interface Session {
  id: string;
  client: string;
  address: string;
  created_at: string;
  last_used_at: string | null;
  expires_at: string;
  current: boolean;
}

export interface ApiKey {
  id: string;
  name: string;
  level: number | null;
  state: "active" | "owner_disabled" | "disabled" | "expired" | "revoked";
  models: string[] | null;
  expires_at: string | null;
  created_at: string;
  last_used_at: string | null;
  last4: string;
}

export interface NewApiKey extends ApiKey {
  key: string;
}

export interface UsageRow {
  /** The day (YYYY-MM-DD), the model or the key's name, as asked for. */
  name: string;
  requests: number;
  input_tokens: number;
  output_tokens: number;
}

export interface Model {
  name: string;
  loaded: boolean;
  vision: boolean | null;
  thinking: boolean | null;
  tools: boolean | null;
  /** The largest window, in tokens, and the one that a chat gets which asks for none. */
  context_length: number | null;
  window: number | null;
  parameters: string | null;
  quantization: string | null;
  size: number | null;
}

export type Role = "user" | "assistant";
export type Outcome = "completed" | "stopped" | "failed";

export interface ImageRef {
  id: string;
  media_type: string;
  size: number;
}

export interface Message {
  id: string;
  parent: string | null;
  role: Role;
  content: string;
  thinking: string | null;
  images: ImageRef[];
  model: string | null;
  created_at: string;
  outcome: Outcome | null;
  error_code: string | null;
  input_tokens: number | null;
  output_tokens: number | null;
  duration: number | null;
  notice: string | null;
}

/** null: as the model has it. */
export interface Parameters {
  temperature?: number | null;
  top_p?: number | null;
  top_k?: number | null;
  seed?: number | null;
  num_predict?: number | null;
  num_ctx?: number | null;
  repeat_penalty?: number | null;
  stop?: string[] | null;
  think?: boolean | null;
}

export interface Conversation {
  id: string;
  title: string;
  titled_by: "user" | "auto";
  model: string;
  created_at: string;
  updated_at: string;
}

export interface ConversationDetail extends Conversation {
  system: string | null;
  parameters: Parameters;
  leaf: string | null;
  messages: Message[];
}

// The frames of a chat, see docs/chat.md.

export interface ImageData {
  media_type: string;
  /** base64 */
  data: string;
}

export interface Start {
  type: "start";
  ref: string;
  /** Said before, and perhaps heard: the daemon looks for its turn at the others, too. */
  again?: boolean;
  conversation: string | null;
  parent: string | null;
  mode: "send" | "regenerate" | "continue";
  content: string;
  images: ImageData[];
  model: string;
  system: string | null;
  parameters: Parameters;
  keep: boolean;
  history: { role: Role; content: string; images: ImageData[] }[];
}

export type ClientFrame =
  | Start
  | { type: "stop"; turn: string }
  | { type: "attach"; turn: string }
  | { type: "bye" }
  | { type: "here" };

export type TurnState = "queued" | "started" | "thinking" | "answering" | "ended";

export interface Usage {
  input_tokens: number | null;
  output_tokens: number | null;
  waited: number | null;
  first_token: number | null;
  duration: number;
  tokens_per_second: number | null;
}

export interface RunningTurn {
  turn: string;
  ref: string;
  conversation: string | null;
  message: string;
  state: TurnState;
}

interface OfTurn {
  turn: string;
  seq: number;
}

export type TurnFrame = OfTurn &
  (
    | {
        type: "accepted";
        ref: string;
        conversation: string | null;
        user_message: Message | null;
        message: string;
        parent: string | null;
      }
    | {
        type: "queued";
        ahead: number;
        level: number;
        submitted_level: number;
        aged: boolean;
        waited: number;
        estimated_wait: number | null;
      }
    | { type: "started"; waited: number; loading: boolean }
    | { type: "notice"; kind: "trimmed"; dropped: number; kept: number; window: number; text: string }
    | { type: "thinking"; text: string }
    | { type: "token"; text: string }
    | {
        type: "snapshot";
        ref: string;
        conversation: string | null;
        parent: string | null;
        message: string;
        model: string;
        state: TurnState;
        waited: number | null;
        ahead: number | null;
        estimated_wait: number | null;
        loading: boolean;
        thinking: string;
        content: string;
        notice: string | null;
      }
    | { type: "done"; outcome: Outcome; message: Message; error: ProblemDocument | null; usage: Usage }
  );

export type ServerFrame =
  | TurnFrame
  | { type: "hello"; version: string; grace_seconds: number; turns: RunningTurn[] }
  | { type: "title"; conversation: string; title: string }
  | { type: "refused"; ref: string | null; error: ProblemDocument }
  | { type: "gone"; turn: string }
  | { type: "here" };

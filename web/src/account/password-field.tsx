import Eye from "lucide-react/icons/eye";
import EyeOff from "lucide-react/icons/eye-off";
import { useState } from "react";
import { IconButton, TextField, type TextFieldProps } from "../ui";

/** A password, which can be made visible: who sees what is typed needs not type it twice. */
export function PasswordField(props: TextFieldProps) {
  const [shown, setShown] = useState(false);
  const toggle = (
    <IconButton
      size="sm"
      label={shown ? "Hide the password" : "Show the password"}
      icon={shown ? <EyeOff /> : <Eye />}
      onClick={() => setShown(!shown)}
    />
  );
  return (
    <TextField
      maxLength={1024}
      autoCapitalize="none"
      autoCorrect="off"
      spellCheck={false}
      {...props}
      type={shown ? "text" : "password"}
      trailing={toggle}
    />
  );
}
